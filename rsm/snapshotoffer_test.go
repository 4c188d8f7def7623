package rsm

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"balsa.example/raft"
)

// One snapshot is saved at a time. Further offers are completed when it is their turn, or
// when the replica stops.
func TestSnapshotOffersAreAnsweredOneAtATime(t *testing.T) {
	cfg := raft.Config{ID: 2, HeartbeatTicks: 5, ElectionTimeoutTicks: 50, Rand: rand.New(rand.NewPCG(1, 2))}
	state := raft.State{
		HardState: raft.HardState{Term: 5},
		Snapshot:  raft.SnapshotMeta{Index: 10, Term: 4, Configuration: raft.NewConfiguration(1, 2, 3)},
	}
	r, err := NewReplica[string](cfg, state, SnapshotPolicy{MaxRaftState: -1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	offer := func(waiter string, index raft.Index, term raft.Term) SnapshotOffer[string] {
		meta := raft.SnapshotMeta{Index: index, Term: term, Configuration: state.Snapshot.Configuration}
		return SnapshotOffer[string]{&raft.InstallSnapshot{Header: raft.Header{From: 1, To: 2, Term: 5}, Meta: meta}, waiter}
	}
	first := offer("first", 20, 5)
	received := func(ok bool) Events[string] {
		return Events[string]{Calls: []func(*Replica[string]){func(r *Replica[string]) { r.SnapshotReceived(first.Message, 77, ok) }}}
	}
	for i, step := range []struct {
		ev   Events[string]
		want []Completion[string]
	}{
		{Events[string]{SnapshotOffers: []SnapshotOffer[string]{offer("old", 10, 4), first, offer("second", 20, 5)}},
			[]Completion[string]{{Waiter: "old", Err: ErrSnapshotNotNeeded}, {Waiter: "first", Err: nil}}},
		{Events[string]{SnapshotOffers: []SnapshotOffer[string]{offer("third", 30, 5)}}, nil},
		{received(false), []Completion[string]{{Waiter: "second", Err: nil}}},
		{received(true), []Completion[string]{{Waiter: "third", Err: nil}}},
		{Events[string]{SnapshotOffers: []SnapshotOffer[string]{offer("fourth", 40, 5)}}, nil},
	} {
		e := r.Turn(step.ev, raft.Instant(i+1))
		if !reflect.DeepEqual(e.Completions, step.want) || len(e.Refused) > 0 {
			t.Errorf("step %d: completions %v, refused %v; want %v", i, e.Completions, e.Refused, step.want)
		}
		if failed := i == 2; e.Check != failed {
			t.Errorf("step %d: a check of the storage is wanted: %t", i, e.Check)
		}
	}
	if index := r.Status().Snapshot.Index; index != 20 || r.snapshotBytes != 77 {
		t.Errorf("the newest snapshot is said to be %d, of %d bytes", index, r.snapshotBytes)
	}
	ev := Events[string]{SnapshotOffers: []SnapshotOffer[string]{offer("fifth", 50, 5)}}
	if got, want := r.Drain(ev), []string{"fourth", "fifth"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q still wait; want %q", got, want)
	}
	if err := offer("", 60, 6).Message.Check(); err == nil || errors.Is(err, ErrSnapshotNotNeeded) {
		t.Errorf("a snapshot of a later term than its sender: %v", err)
	}
}

// A state that is being received is of no use when the log has brought what is in it.
func TestAReceptionThatIsNotNeededEnds(t *testing.T) {
	cfg := raft.Config{ID: 2, HeartbeatTicks: 5, ElectionTimeoutTicks: 50, Rand: rand.New(rand.NewPCG(1, 2))}
	conf := raft.NewConfiguration(1, 2, 3)
	state := raft.State{
		HardState: raft.HardState{Term: 5}, Snapshot: raft.SnapshotMeta{Index: 10, Term: 4, Configuration: conf},
	}
	r, err := NewReplica[string](cfg, state, SnapshotPolicy{MaxRaftState: -1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	head := raft.Header{From: 1, To: 2, Term: 5}
	offer := SnapshotOffer[string]{&raft.InstallSnapshot{Header: head, Meta: raft.SnapshotMeta{Index: 12, Term: 5, Configuration: conf}}, "offer"}
	entries := []raft.Entry{{Index: 11, Term: 5}, {Index: 12, Term: 5}, {Index: 13, Term: 5}}
	append := &raft.AppendEntries{Header: head, PrevIndex: 10, PrevTerm: 4, Entries: entries, Commit: 13}
	received := func(r *Replica[string]) { r.SnapshotReceived(offer.Message, 0, false) }
	for i, step := range []struct {
		ev   Events[string]
		want bool
	}{
		{Events[string]{SnapshotOffers: []SnapshotOffer[string]{offer}}, false},
		{Events[string]{Messages: []raft.Message{append}}, false},
		{Events[string]{Applied: 11}, false},
		{Events[string]{Applied: 12}, true},
		{Events[string]{Applied: 13}, true},
		{Events[string]{Calls: []func(*Replica[string]){received}}, false},
	} {
		if e := r.Turn(step.ev, raft.Instant(i+1)); e.SnapshotNotNeeded != step.want || len(e.Refused) > 0 {
			t.Errorf("step %d: not needed %t, want %t; refused %v", i, e.SnapshotNotNeeded, step.want, e.Refused)
		}
	}
}

// A snapshot of an earlier leader has become durable when its term was over, so that it is not restored.
// An older one of the next leader does not take its place: its data is not needed.
func TestAnOlderSnapshotReplacesNoneThatIsDurable(t *testing.T) {
	cfg := raft.Config{ID: 2, HeartbeatTicks: 5, ElectionTimeoutTicks: 50, Rand: rand.New(rand.NewPCG(1, 2))}
	conf := raft.NewConfiguration(1, 2, 3)
	r, err := NewReplica[string](cfg, raft.State{
		HardState: raft.HardState{Term: 5}, Snapshot: raft.SnapshotMeta{Index: 10, Term: 4, Configuration: conf},
	}, SnapshotPolicy{MaxRaftState: -1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := func(from raft.NodeID, term raft.Term, index raft.Index) *raft.InstallSnapshot {
		return &raft.InstallSnapshot{Header: raft.Header{From: from, To: 2, Term: term}, Meta: raft.SnapshotMeta{Index: index, Term: 5, Configuration: conf}}
	}
	newer, older := snapshot(1, 5, 30), snapshot(3, 6, 20)
	r.Turn(Events[string]{SnapshotOffers: []SnapshotOffer[string]{{newer, "newer"}}}, 1)
	r.Turn(Events[string]{Messages: []raft.Message{&raft.AppendEntries{Header: older.Header, PrevIndex: 20, PrevTerm: 5}}}, 2)
	e := r.Turn(Events[string]{
		Calls:          []func(*Replica[string]){func(r *Replica[string]) { r.SnapshotReceived(newer, 0, true) }},
		SnapshotOffers: []SnapshotOffer[string]{{older, "older"}},
	}, 3)
	if want := []Completion[string]{{Waiter: "older", Err: ErrSnapshotNotNeeded}}; !reflect.DeepEqual(e.Completions, want) || e.Restore != nil {
		t.Errorf("completions %v, restored %v; want %v", e.Completions, e.Restore, want)
	}
	e = r.Turn(Events[string]{Messages: []raft.Message{older}}, 4)
	if e.Restore == nil || e.Restore.Index != 30 || e.Persist == nil || e.Persist.Snapshot.Index != 30 {
		t.Errorf("restored is %v, persisted %+v, want what is durable at 30", e.Restore, e.Persist)
	}
	r.Turn(Events[string]{Applied: 30, Persisted: e.Persist.Seq}, 5)
	if s := r.Status(); s.FirstIndex != 31 || s.Commit != 30 || older.Meta.Index != 20 {
		t.Errorf("the log begins with %d, %d is committed", s.FirstIndex, s.Commit)
	}
}

// A state arrives that the log has brought as well, and that log is full. Nothing that is applied is behind that
// state, so that no snapshot follows that would make room: the state that came has to.
func TestAStateThatArrivesMakesRoomInTheLog(t *testing.T) {
	cfg := raft.Config{ID: 2, HeartbeatTicks: 5, ElectionTimeoutTicks: 50, Rand: rand.New(rand.NewPCG(1, 2)), MaxPendingBytes: 100}
	conf := raft.NewConfiguration(1, 2, 3)
	state := raft.State{
		HardState: raft.HardState{Term: 5}, Snapshot: raft.SnapshotMeta{Index: 10, Term: 4, Configuration: conf},
	}
	r, err := NewReplica[string](cfg, state, SnapshotPolicy{MaxRaftState: 100, Share: 1}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	head := raft.Header{From: 1, To: 2, Term: 5}
	entry := func(i raft.Index) raft.Entry { return raft.Entry{Index: i, Term: 5, Data: make([]byte, 500)} }
	turn := func(ev Events[string]) Effects[string] {
		e := r.Turn(ev, 1)
		if e.Persist != nil {
			r.Turn(Events[string]{Persisted: e.Persist.Seq}, 1)
		}
		return e
	}
	for i := raft.Index(11); i <= 14; i++ {
		turn(Events[string]{Messages: []raft.Message{&raft.AppendEntries{Header: head, PrevIndex: i - 1, PrevTerm: raft.Term(4 + min(1, i-11)), Entries: []raft.Entry{entry(i)}, Commit: i}}})
		turn(Events[string]{Applied: i})
	}
	m := &raft.InstallSnapshot{Header: head, Meta: raft.SnapshotMeta{Index: 14, Term: 5, Configuration: conf}}
	turn(Events[string]{Calls: []func(*Replica[string]){func(r *Replica[string]) { r.SnapshotReceived(m, 100, true) }}})
	if r.core.AppliedBytes() > int(r.MaxAppliedBytes()) {
		t.Errorf("%d bytes of the log are applied, and the bound is %d", r.core.AppliedBytes(), r.MaxAppliedBytes())
	}
	turn(Events[string]{Messages: []raft.Message{&raft.AppendEntries{Header: head, PrevIndex: 14, PrevTerm: 5, Entries: []raft.Entry{entry(15)}, Commit: 14}}})
	if last := r.core.Last(); last != 15 {
		t.Errorf("the log ends at %d, want 15", last)
	}
}

// The machine has installed a state that is newer than the one that the core restores. The log brings the same
// entries before the core knows of that state, so that those before it may be dropped.
func TestAStateAheadOfTheCoreCountsAsApplied(t *testing.T) {
	cfg := raft.Config{ID: 2, HeartbeatTicks: 5, ElectionTimeoutTicks: 50, Rand: rand.New(rand.NewPCG(1, 2))}
	conf := raft.NewConfiguration(1, 2, 3)
	r, err := NewReplica[string](cfg, raft.State{
		HardState: raft.HardState{Term: 5}, Snapshot: raft.SnapshotMeta{Index: 10, Term: 4, Configuration: conf},
	}, SnapshotPolicy{MaxRaftState: 100, Share: 1}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	turn := func(ev Events[string]) {
		if e := r.Turn(ev, 1); e.Persist != nil {
			r.Turn(Events[string]{Persisted: e.Persist.Seq}, 1)
		}
	}
	head := raft.Header{From: 1, To: 2, Term: 5}
	newer := &raft.InstallSnapshot{Header: head, Meta: raft.SnapshotMeta{Index: 14, Term: 5, Configuration: conf}}
	received := func(r *Replica[string]) { r.SnapshotReceived(newer, 100, true) }
	entries := &raft.AppendEntries{Header: raft.Header{From: 3, To: 2, Term: 6}, PrevIndex: 10, PrevTerm: 4, Commit: 15}
	for i := raft.Index(11); i <= 15; i++ {
		entries.Entries = append(entries.Entries, raft.Entry{Index: i, Term: 5, Data: make([]byte, 500)})
	}
	turn(Events[string]{Applied: 14})
	turn(Events[string]{Messages: []raft.Message{entries}})
	turn(Events[string]{Calls: []func(*Replica[string]){received}}) // its leader leads no more
	if base := r.core.Status().FirstIndex - 1; base == 10 || r.core.OwnStatus().Applied != 14 {
		t.Errorf("it has applied %d, and dropped its log up to %d", r.core.OwnStatus().Applied, base)
	}
}
