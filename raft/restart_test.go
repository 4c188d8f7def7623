package raft

import (
	"math/rand/v2"
	"testing"
)

// newCore returns a core of a cluster of n voters with the state given.
func newCore(t testing.TB, id NodeID, n int, s State) *Raft {
	t.Helper()
	if len(s.Snapshot.Configuration.Members()) == 0 {
		var ids []NodeID
		for k := range n {
			ids = append(ids, NodeID(k+1))
		}
		s.Snapshot.Configuration = NewConfiguration(ids...)
	}
	r, err := New(Config{ID: id, Rand: rand.New(rand.NewPCG(1, uint64(id)))}, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// settle carries out the effects of r, with a disk and a state machine that take no time, until
// there are none. It returns the messages.
func settle(r *Raft) (sent []Message) {
	for {
		e := r.Effects()
		if e.Empty() {
			return sent
		}
		sent = append(sent, e.Messages...)
		if e.Persist != nil {
			r.Persisted(e.Persist.Seq)
		}
		if e.Restore != nil {
			r.Applied(e.Restore.Index)
		}
		if n := len(e.Committed); n > 0 {
			r.Applied(e.Committed[n-1].Index)
		}
	}
}

// A snapshot is durable at its receiver before the message about it is stepped. After a crash in
// between, the snapshot is of a later term than the hard state.
func TestRestartWithSnapshotOfLaterTerm(t *testing.T) {
	r := newCore(t, 1, 3, State{
		HardState: HardState{Term: 1, Vote: 2},
		Snapshot:  SnapshotMeta{Index: 10, Term: 3},
	})
	if s := r.Status(); s.Term != 3 || s.Vote != None {
		t.Errorf("term %d vote %s after restart, want term 3 and no vote", s.Term, s.Vote)
	}
	if e := r.Effects(); e.Persist == nil || *e.Persist.HardState != (HardState{Term: 3}) {
		t.Errorf("the term is not to be persisted: %+v", e.Persist)
	}
}

// The same crash, but the entry at the end of the snapshot is of an earlier term. The schedule, in
// a cluster of five:
//
//  1. A, the leader of term 1, sends entry 10 to C alone.
//  2. B leads term 3 without entry 10.
//  3. C leads term 4, and commits entry 10.
//  4. E stores C's snapshot, crashes before it knows of term 4, and restarts in term 3. More is
//     committed at E than B, its leader, has.
func TestRestartWithSnapshotThatTheLeaderDoesNotHave(t *testing.T) {
	const b, e = 2, 5
	for _, test := range []struct {
		name   string
		length Index // of B's log from term 1
	}{
		{"leader's log is shorter", 3},
		{"leader's log has another entry at its end", 9},
		{"leader's log is longer", 12},
	} {
		t.Run(test.name, func(t *testing.T) {
			var entries []Entry
			for i := Index(1); i <= test.length; i++ {
				term := Term(1)
				if i >= 10 {
					term = 2
				}
				entries = append(entries, Entry{Term: term, Index: i, Kind: EntryCommand})
			}
			leader := elect(t, newCore(t, b, 5, State{HardState: HardState{Term: 2}, Entries: entries}))
			stale := newCore(t, e, 5, State{HardState: HardState{Term: leader.Term()}, Snapshot: SnapshotMeta{Index: 10, Term: 1}})
			for range 10 {
				leader.Tick(0)
				for _, m := range settle(leader) {
					if m.Head().To == e {
						step(t, stale, m)
					}
				}
				for _, m := range settle(stale) {
					if reply, ok := m.(*AppendEntriesReply); ok && reply.Match > leader.log.last() {
						t.Errorf("it matches %d of the leader's %d", reply.Match, leader.log.last())
					}
					if m.Head().To == b {
						step(t, leader, m)
					}
				}
			}
			for i := stale.log.base + 1; i <= stale.log.last(); i++ {
				t.Errorf("the stale node took over %s behind an entry that its leader does not have", stale.log.slice(i, i)[0])
			}
		})
	}
}

// The newest snapshot of a leader that does not know of a later term yet can be its successor's.
// A peer that gets this snapshot has more than the leader. The leader must not take that for a
// broken invariant.
func TestLeaderThatSendsItsSuccessorsSnapshotStepsDown(t *testing.T) {
	meta := SnapshotMeta{Index: 10, Term: 1, Configuration: NewConfiguration(1, 2, 3)}
	deposed := func() (leader *Raft, m *InstallSnapshot) {
		leader = elect(t, newCore(t, 1, 3, State{HardState: HardState{Term: 1}, Snapshot: SnapshotMeta{Index: 2, Term: 1}}))
		settle(leader)
		step(t, leader, &AppendEntriesReject{Header: Header{From: 3, To: 1, Term: 2}, PrevIndex: 2, ConflictIndex: 1, Round: 1})
		e := leader.Effects()
		if len(e.Snapshots) != 1 {
			t.Fatalf("no snapshot is wanted: %+v", e)
		}
		return leader, &InstallSnapshot{Header: e.Snapshots[0], Meta: meta}
	}

	leader, m := deposed()
	peer := newCore(t, 3, 3, State{})
	step(t, peer, m)
	for _, answer := range settle(peer) {
		step(t, leader, answer)
	}
	settle(leader)
	if leader.Role() != Follower {
		t.Errorf("%s after a peer matched %d of its %d", leader.Role(), meta.Index, leader.log.last())
	}

	leader, _ = deposed()
	leader.SnapshotSent(3, meta.Index, true)
	settle(leader)
	if leader.Role() != Follower {
		t.Errorf("%s after a peer stored a snapshot at %d behind its %d", leader.Role(), meta.Index, leader.log.last())
	}
}

// The end of a write that was under way when a snapshot replaced the log makes no entry behind
// the snapshot durable.
func TestWriteFromBeforeASnapshotAcknowledgesNothing(t *testing.T) {
	r := newCore(t, 2, 3, State{HardState: HardState{Term: 2}})
	var entries []Entry
	for i := range Index(5) {
		entries = append(entries, Entry{Term: 1, Index: i + 1, Kind: EntryCommand})
	}
	from := Header{From: 1, To: 2, Term: 2}
	step(t, r, &AppendEntries{Header: from, Entries: entries})
	before := r.Effects().Persist.Seq

	from = Header{From: 3, To: 2, Term: 3}
	step(t, r, &InstallSnapshot{Header: from, Meta: SnapshotMeta{Index: 3, Term: 2, Configuration: NewConfiguration(1, 2, 3)}})
	step(t, r, &AppendEntries{Header: from, PrevIndex: 3, PrevTerm: 2, Entries: []Entry{{Term: 3, Index: 4}}})
	after := r.Effects().Persist.Seq

	r.Persisted(before)
	if got := r.Status().DurableIndex; got != 3 {
		t.Errorf("durable up to %d when the old write has ended, want 3", got)
	}
	r.Persisted(after)
	if got := r.Status().DurableIndex; got != 4 {
		t.Errorf("durable up to %d when the new write has ended, want 4", got)
	}
}

// elect makes r the leader of the next term with the votes of all others.
func elect(t testing.TB, r *Raft) *Raft {
	t.Helper()
	for range 30 {
		r.Tick(0)
		for _, m := range settle(r) {
			answer := Header{From: m.Head().To, To: r.id, Term: m.Head().Term}
			switch m := m.(type) {
			case *PreVote:
				step(t, r, &PreVoteReply{Header: answer, Granted: true})
			case *RequestVote:
				step(t, r, &RequestVoteReply{Header: answer, Campaign: m.Campaign, Granted: true})
			}
		}
		if r.Role() == Leader {
			return r
		}
	}
	t.Fatalf("%s was not elected: %+v", r.id, r.Status())
	return nil
}

func step(t testing.TB, r *Raft, m Message) {
	t.Helper()
	if err := r.Step(m); err != nil {
		t.Fatal(err)
	}
}
