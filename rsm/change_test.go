package rsm

import (
	"errors"
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
