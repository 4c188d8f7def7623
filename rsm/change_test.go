package rsm

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"balsa.example/raft"
)

// leader returns the leader of g, after it has elected one that has committed in its term.
func (g *group) leaderReady() raft.NodeID {
	for range 100 {
		for id := raft.NodeID(1); id <= 3; id++ {
			g.turn(id, Events[string]{Ticked: true})
		}
		for id, r := range g.replicas {
			if s := r.core.Status(); s.Role == raft.Leader && s.Commit == s.LastIndex {
				return id
			}
		}
	}
	g.t.Fatal("no leader")
	return raft.None
}

func learn(id raft.NodeID) func(raft.Configuration) (raft.Configuration, error) {
	return func(c raft.Configuration) (raft.Configuration, error) {
		c.Learners = append(slices.Clone(c.Learners), id)
		return c, nil
	}
}

// A leader that is deposed again and again leaves changes behind whose fate is open.
func TestChangesThatWaitAreBounded(t *testing.T) {
	g := newGroup(t)
	leader := g.leaderReady()
	r := g.replicas[leader]
	for range maxChanges {
		r.changes = append(r.changes, change[string]{term: r.core.Term(), index: 1 << 20, waiter: "old"})
	}
	e := r.Turn(Events[string]{Changes: []Change[string]{{Edit: learn(9), Waiter: "new"}}}, 1)
	if len(e.Completions) != 1 || !errors.Is(e.Completions[0].Err, ErrBusy) || len(r.changes) != maxChanges {
		t.Errorf("with %d that wait, one more ends with %v", len(r.changes), e.Completions)
	}
}

// Who waits for a change is told the truth, whatever becomes of its entry.
func TestFateOfAChange(t *testing.T) {
	const term, index = 3, 10
	for _, c := range []struct {
		name string
		run  func(*Replica[string])
		want error // nil: it waits on
	}{
		{"its entry is committed", func(r *Replica[string]) { r.settle(index, term) }, nil},
		{"an entry before it", func(r *Replica[string]) { r.settle(index-1, term) }, nil},
		{"another entry in its place", func(r *Replica[string]) { r.settle(index, term+1) }, ErrWrongLeader},
		{"an entry of a later term before it", func(r *Replica[string]) { r.settle(index-1, term+1) }, ErrWrongLeader},
		{"a snapshot that may have it", func(r *Replica[string]) { r.onRestore(raft.SnapshotMeta{Index: index + 5, Term: term}) }, ErrUnknown},
		{"a snapshot of an earlier term", func(r *Replica[string]) { r.onRestore(raft.SnapshotMeta{Index: index + 5, Term: term - 1}) }, ErrWrongLeader},
		{"a snapshot of a later term before it", func(r *Replica[string]) { r.onRestore(raft.SnapshotMeta{Index: index - 5, Term: term + 1}) }, ErrWrongLeader},
		{"a snapshot before it", func(r *Replica[string]) { r.onRestore(raft.SnapshotMeta{Index: index - 5, Term: term}) }, nil},
	} {
		r := newGroup(t).replicas[1]
		r.changes = changes[string]{{term: term, index: index, waiter: "change"}}
		c.run(r)
		switch {
		case c.want == nil && (len(r.changes) != 1 || len(r.completions) != 0):
			t.Errorf("%s: it ends with %v", c.name, r.completions)
		case c.want != nil && (len(r.changes) != 0 || len(r.completions) != 1 || !errors.Is(r.completions[0].Err, c.want)):
			t.Errorf("%s: it ends with %v, want %v", c.name, r.completions, c.want)
		}
	}
}

// settle commits an entry at index, as takeCommitted does.
func (r *Replica[W]) settle(index raft.Index, term raft.Term) {
	r.takeCommitted([]raft.Entry{{Index: index, Term: term}})
}

// While a change goes on another one is refused before its edit: it would get a configuration that may
// be taken back, or is joint.
func TestChangeIsNotEditedWhileAnotherGoesOn(t *testing.T) {
	g := newGroup(t)
	leader := g.leaderReady()
	g.filter = func(raft.Message) bool { return false }
	g.turn(leader, Events[string]{Changes: []Change[string]{{Edit: learn(8), Waiter: "first"}}})
	edit := func(c raft.Configuration) (raft.Configuration, error) {
		t.Errorf("it is asked what follows %s", c)
		return c, nil
	}
	g.turn(leader, Events[string]{Changes: []Change[string]{{Edit: edit, Waiter: "second"}}})
	if got, want := g.outcome["second"], raft.ErrChangePending.Error(); got != want {
		t.Errorf("it ends with %s, want %s", got, want)
	}
}

// A leader that has removed itself does not stop before it has handed over.
func TestRemovedLeaderStopsWhenItLeadsNoMore(t *testing.T) {
	g := newGroup(t)
	leader := g.leaderReady()
	r := g.replicas[leader]
	g.filter = func(m raft.Message) bool { return m.Kind() != raft.KindTimeoutNow }
	g.turn(leader, Events[string]{Changes: []Change[string]{{Waiter: "change", Edit: func(c raft.Configuration) (raft.Configuration, error) {
		c.Voters.Incoming = slices.DeleteFunc(slices.Clone(c.Voters.Incoming), func(id raft.NodeID) bool { return id == leader })
		return c, nil
	}}}})
	if g.outcome["change"] != "<nil>" {
		t.Fatalf("the change ends with %q", g.outcome["change"])
	}
	for range 20 {
		leads := r.core.Role() == raft.Leader
		if failed := r.failure() != nil; failed == leads {
			t.Fatalf("leads %t, and its failure is %v", leads, r.failure())
		}
		g.tick(leader)
	}
	if !errors.Is(r.failure(), ErrRemoved) {
		t.Errorf("it goes on: %v", r.failure())
	}
}

// It goes on for those who wait for it, but not for ever.
func TestRemovedReplicaWaitsForItsCallers(t *testing.T) {
	g := newGroup(t)
	leader := g.leaderReady()
	follower := leader%3 + 1
	r := g.replicas[follower]
	r.submits.add(r.core.Term(), 1<<20, "a submit whose fate it never learns")
	g.turn(leader, Events[string]{Changes: []Change[string]{{Waiter: "change", Edit: func(c raft.Configuration) (raft.Configuration, error) {
		c.Voters.Incoming = slices.DeleteFunc(slices.Clone(c.Voters.Incoming), func(id raft.NodeID) bool { return id == follower })
		return c, nil
	}}}})
	ticks := 0
	for ; r.failure() == nil && ticks < 1000; ticks++ {
		g.tick(1, 2, 3)
	}
	if limit := removedTimeouts * r.core.ElectionTimeoutTicks(); ticks < limit/2 || ticks > limit+20 {
		t.Errorf("it goes on for %d ticks", ticks)
	}
}

// A replica that joins, and gets the log from its first entry on, makes no snapshot before it knows who
// the members are: it could not start from that.
func TestNoSnapshotWithoutAConfiguration(t *testing.T) {
	r, err := NewReplica[string](raft.Config{ID: 4, Rand: rand.New(rand.NewPCG(7, 4))}, raft.State{}, SnapshotPolicy{MaxRaftState: 10}, 0)
	if err != nil {
		t.Fatal(err)
	}
	conf := raft.NewConfiguration(1, 2, 3)
	for i, e := range []raft.Entry{{Data: make([]byte, 100)}, {Kind: raft.EntryConfiguration, Data: raft.AppendConfiguration(nil, conf)}} {
		e.Term, e.Index = 1, raft.Index(i+1)
		m := &raft.AppendEntries{
			Header: raft.Header{From: 1, To: 4, Term: 1}, PrevIndex: e.Index - 1, PrevTerm: raft.Term(i), Entries: []raft.Entry{e}, Commit: e.Index, Round: 1,
		}
		effects := r.Turn(Events[string]{Messages: []raft.Message{m}}, 1)
		if got, want := effects.TakeSnapshot != nil, e.Kind == raft.EntryConfiguration; len(effects.Commands) != 1 || got != want {
			t.Errorf("at %d: %d commands, a snapshot is taken: %t", e.Index, len(effects.Commands), got)
		}
	}
}

// Where there are no voters, nobody is a majority of them.
func TestHashesWithoutVotersDecideNothing(t *testing.T) {
	c := comparison{hashes: map[raft.NodeID]uint64{1: 1, 2: 2}}
	c.decide(1, raft.Configuration{})
	if c.diverged || c.alarm || len(c.divergedPeers) > 0 {
		t.Errorf("diverged %t, alarm %t, diverged peers %v", c.diverged, c.alarm, c.divergedPeers)
	}
}

// A member that is gone leaves nothing behind at a leader.
func TestNothingIsKeptOfAMemberThatIsGone(t *testing.T) {
	g := newGroup(t)
	leader := g.leaderReady()
	r := g.replicas[leader]
	other := raft.NodeID(1)
	if leader == 1 {
		other = 2
	}
	for _, id := range []raft.NodeID{9, other} {
		r.snapshotsSent[id], r.keptStreams[id] = 1, keptStream{ticks: 1 << 20}
		r.comparison.divergedPeers = map[raft.NodeID]bool{9: true, other: true}
	}
	g.turn(leader, Events[string]{Changes: []Change[string]{{Edit: learn(8), Waiter: "change"}}})
	if len(r.snapshotsSent) != 1 || len(r.keptStreams) != 1 || len(r.comparison.divergedPeers) != 1 {
		t.Errorf("kept are %v, %v, %v", r.snapshotsSent, r.keptStreams, r.comparison.divergedPeers)
	}
}
