package rsm

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"balsa.example/internal/wake"
	"balsa.example/raft"
)

// bounds says of each list, map and queue of a replica and its shell what keeps it from
// growing without end. Those of the core are in package raft.
var bounds = map[string]string{
	"Node.leadership.changed":  "0",
	"Replica.forwards.list":    "maxForwards and maxForwardBytes: TestForwardsAreBounded",
	"Replica.proposals.recent": "maxProposals: TestForwardsAreBounded",
	"Replica.proposals.older":  "maxProposals",
	"Replica.replies":          "of one turn: one for each of Events.Messages",
	"Replica.changes":          "maxChanges: TestChangesThatWaitAreBounded",
	"Replica.submits.terms":    "maxWaiting, in all lists together: TestWaitingIsBounded",
	"Replica.indexReads":       "maxWaiting, with readyReads: TestWaitingIsBounded",
	"Replica.readyReads":       "maxWaiting, with indexReads",
	"Replica.snapshotOffers":   "maxSnapshotOffers: TestWaitingIsBounded",
	"Replica.keptStreams":      "the members",
	"Replica.closeStreams":     "the members",
	"Node.streams":             "the members",
	"Replica.snapshotsSent":    "the members",
	"Replica.completions":      "of one turn: what Events had, and what waits",
	"Replica.refused":          "of one turn: Events.Messages",

	"Replica.comparison.hashes":        "the members",
	"Replica.comparison.divergedPeers": "the members",
	"Replica.comparison.newlyDiverged": "the members: each once in a turn",
	"Replica.messages":                 "of one turn: the members, for each of Events.Messages and Events.Calls",

	"Node.inbox.events.Messages":       "maxInboxMessages and maxInboxBytes: TestInboxIsBounded",
	"Node.inbox.events.Submits":        "maxInboxWaiters and maxInboxBytes: TestInboxIsBounded",
	"Node.inbox.events.Reads":          "maxInboxWaiters: TestInboxIsBounded",
	"Node.inbox.events.SnapshotOffers": "maxInboxWaiters: TestInboxIsBounded",
	"Node.inbox.events.Changes":        "maxInboxWaiters: TestInboxIsBounded",
	"Node.inbox.events.Unreachable":    "maxInboxUnreachable: TestInboxIsBounded",
	"Node.inbox.events.Calls":          "maxInboxWaiters, and one for each snapshot on its way and each hash that was asked for: TestInboxIsBounded",
	"Node.disk.tasks":                  "raft.Config.MaxUnstableBytes",
	"Node.apply.tasks":                 "raft.Config.MaxPendingBytes, MaxUnappliedBytes",
	"Node.applier.ops":                 "maxPrepared: TestApplierPreparesForWhatIsNext",
	"Node.applier.next":                "maxPrepared",
	"Node.stages.logged.ring":          "maxMarks: TestMarksAreBounded",
	"Node.stages.writing.ring":         "maxMarks",
	"Node.stages.synced.ring":          "maxMarks",
	"Node.stages.committed.ring":       "maxMarks",
	"Node.stages.applying.ring":        "maxMarks",
	"Node.stages.applied.ring":         "maxMarks",
	"Node.stop":                        "0",
	"Node.done":                        "0",
	"Node.snapshotErrors":              "the members",
}

// TestAllListsAreBounded finds each list and demands that it is among bounds.
func TestAllListsAreBounded(t *testing.T) {
	found := map[string]bool{}
	lists("Replica", reflect.TypeFor[Replica[int]](), found)
	lists("Node", reflect.TypeFor[Node[int, int]](), found)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if bounds[name] == "" {
			t.Errorf("%s may grow: say in bounds what keeps it from that", name)
		}
	}
	for name := range bounds {
		if !found[name] {
			t.Errorf("there is no list %s", name)
		}
	}
}

// lists adds the names of all fields of a struct that can grow. What is of other packages
// is theirs.
func lists(name string, typ reflect.Type, found map[string]bool) {
	for f := range typ.Fields() {
		field := name + "." + f.Name
		switch kind := f.Type.Kind(); {
		case f.Name == "cfg" || f.Name == "replica" || f.Name == "snapshot":
		case kind == reflect.Slice || kind == reflect.Map || kind == reflect.Chan || f.Type.String() == "sync.Map":
			found[field] = true
		case kind == reflect.Struct && strings.HasPrefix(f.Type.PkgPath(), "balsa.example/rsm"):
			lists(field, f.Type, found)
		}
	}
}

func TestInboxIsBounded(t *testing.T) {
	var b inbox[int]
	b.wake = wake.New()
	fill := func(what string, length func() int, limit int, add func() error) {
		t.Helper()
		var err error
		for range limit + 10 {
			err = add()
		}
		if length() != limit {
			t.Errorf("%s: %d wait, want %d", what, length(), limit)
		}
		if what != "messages" && what != "unreachable" && !errors.Is(err, ErrBusy) {
			t.Errorf("%s: one too many: %v", what, err)
		}
	}
	ev := &b.events
	fill("submits", func() int { return len(ev.Submits) }, maxInboxWaiters, func() error { return b.addSubmit(Submission[int]{}) })
	fill("reads", func() int { return len(ev.Reads) }, maxInboxWaiters, func() error { return b.addRead(ReadRequest[int]{}) })
	fill("offers", func() int { return len(ev.SnapshotOffers) }, maxInboxWaiters, func() error { return b.addSnapshotOffer(SnapshotOffer[int]{}) })
	fill("changes", func() int { return len(ev.Changes) }, maxInboxWaiters, func() error { return b.addChange(Change[int]{}) })
	fill("calls", func() int { return len(ev.Calls) }, maxInboxWaiters, func() error { return b.ask(func(*Replica[int]) {}) })
	fill("messages", func() int { return len(ev.Messages) }, maxInboxMessages/2, func() error { b.addMessage(&raft.Propose{}); return nil })
	fill("messages", func() int { return len(ev.Messages) }, maxInboxMessages, func() error { b.addMessage(&raft.ReadIndex{}); return nil })
	id := raft.NodeID(0)
	fill("unreachable", func() int { return len(ev.Unreachable) }, maxInboxUnreachable, func() error { id++; b.addUnreachable(id); return nil })
	b.addUnreachable(1)
	if len(ev.Unreachable) != maxInboxUnreachable {
		t.Error("a member is unreachable twice")
	}
}

// TestInboxBytesAreBounded: large messages and operations are limited by their bytes.
func TestInboxBytesAreBounded(t *testing.T) {
	const large = 1 << 20
	data := make([]byte, large)
	for _, c := range []struct {
		name string
		add  func(*inbox[int])
	}{
		{"messages", func(b *inbox[int]) { b.addMessage(&raft.AppendEntries{Entries: []raft.Entry{{Data: data}}}) }},
		{"forwards", func(b *inbox[int]) { b.addMessage(&raft.Propose{Data: data}) }},
		{"submits", func(b *inbox[int]) { _ = b.addSubmit(Submission[int]{Data: data}) }},
	} {
		b := &inbox[int]{wake: wake.New()}
		for range 2 * maxInboxBytes / large {
			c.add(b)
		}
		n := len(b.events.Messages) + len(b.events.Submits)
		if n == 0 || (n-1)*large > maxInboxBytes {
			t.Errorf("%d MiB of %s wait", n, c.name)
		}
		if c.name == "submits" {
			if b.addMessage(&raft.ReadIndex{}); len(b.events.Messages) != 1 {
				t.Error("operations keep out a message")
			}
		}
		if c.name == "forwards" && (n-1)*large > maxInboxBytes/2 {
			t.Errorf("%d MiB of %s wait, more than half", n, c.name)
		}
		b.take(Events[int]{})
		if c.add(b); len(b.events.Messages)+len(b.events.Submits) != 1 {
			t.Errorf("%s: no room after all were taken", c.name)
		}
	}
}

func TestWaitingIsBounded(t *testing.T) {
	conf := raft.NewConfiguration(1, 2, 3)
	r, err := NewReplica[int](raft.Config{ID: 1, Rand: fixedRand{}}, raft.State{Snapshot: raft.SnapshotMeta{Configuration: conf}}, SnapshotPolicy{MaxRaftState: -1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	lead(t, r)
	refused := func(e Effects[int], want error) (n int) {
		for _, f := range e.Completions {
			if !errors.Is(f.Err, want) {
				t.Fatalf("one ends with %v, want %v", f.Err, want)
			}
			n++
		}
		return n
	}
	// No follower answers any more: all of these wait.
	for _, c := range []struct {
		name  string
		limit int
		turn  Events[int]
	}{
		{"submits", maxWaiting, Events[int]{Submits: make([]Submission[int], 1<<14)}},
		{"reads", maxWaiting, Events[int]{Reads: make([]ReadRequest[int], 1<<14)}},
		{"offers", maxSnapshotOffers, Events[int]{SnapshotOffers: offers(12)}},
	} {
		taken, given := 0, 0
		for given <= c.limit {
			n := len(c.turn.Submits) + len(c.turn.Reads) + len(c.turn.SnapshotOffers)
			given += n
			taken += n - refused(r.Turn(c.turn, 1), ErrBusy)
		}
		if taken != c.limit {
			t.Errorf("%d %s wait, want %d", taken, c.name, c.limit)
		}
	}
}

// offers are snapshots that wait for one that is being saved.
func offers(n int) (list []SnapshotOffer[int]) {
	for range n {
		m := &raft.InstallSnapshot{Header: raft.Header{From: 2, To: 1, Term: 1}, Meta: raft.SnapshotMeta{Index: 1 << 30, Term: 1, Configuration: raft.NewConfiguration(1, 2, 3)}}
		list = append(list, SnapshotOffer[int]{Message: m})
	}
	return list
}

type fixedRand struct{}

func (fixedRand) IntN(int) int   { return 0 }
func (fixedRand) Uint64() uint64 { return 1 }

// lead makes r the leader of three, with a snapshot under way that never ends.
func lead(t *testing.T, r *Replica[int]) {
	ev := Events[int]{}
	for now := raft.Instant(1); r.core.Role() != raft.Leader; now++ {
		if now > 100 {
			t.Fatal("it is not elected")
		}
		ev.Ticked = true
		e := r.Turn(ev, now)
		ev = Events[int]{}
		if e.Persist != nil {
			ev.Persisted = e.Persist.Seq
		}
		for _, m := range e.Messages {
			to := raft.Header{From: m.Head().To, To: 1, Term: m.Head().Term}
			switch m := m.(type) {
			case *raft.PreVote:
				ev.Messages = append(ev.Messages, &raft.PreVoteReply{Header: to, Granted: true})
			case *raft.RequestVote:
				ev.Messages = append(ev.Messages, &raft.RequestVoteReply{Header: to, Campaign: m.Campaign, Granted: true})
			}
		}
	}
	r.savingSnapshot = true
}

// A machine that hangs is asked for one hash, however often the leader asks.
func TestHashesThatAreWantedAreBounded(t *testing.T) {
	conf := raft.NewConfiguration(1, 2, 3)
	r, err := NewReplica[int](raft.Config{ID: 1, Rand: fixedRand{}}, raft.State{Snapshot: raft.SnapshotMeta{Configuration: conf}}, SnapshotPolicy{MaxRaftState: -1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.CompareStates()
	from := raft.Header{From: 2, To: 1, Term: 1}
	e := r.Turn(Events[int]{Messages: []raft.Message{&raft.AppendEntries{
		Header: from, Entries: []raft.Entry{{Index: 1, Term: 1, Kind: raft.EntryCommand}}, Commit: 1,
	}}}, 1)
	if len(e.ApplyTask.Commands) != 1 {
		t.Fatal("nothing is to be executed")
	}
	for index := raft.Index(2); index < 1000; index++ {
		e = r.Turn(Events[int]{Messages: []raft.Message{&raft.StateHash{Header: from, Index: index}}}, raft.Instant(index+1))
		if !e.ApplyTask.Empty() {
			t.Fatalf("a task for the hash at %d", index)
		}
	}
	if e = r.Turn(Events[int]{Applied: 1}, 2000); e.ApplyTask.Hash != 999 {
		t.Errorf("the hash at %d is wanted", e.ApplyTask.Hash)
	}
}
