package raft

import (
	"errors"
	"testing"
)

// Reads wait for a quorum, a leader or a first commit that does not come. Their number is bounded
// on a leader, for its own reads and those of others, and on a node that asks a leader.
func TestReadsThatWaitAreBounded(t *testing.T) {
	read := func(r *Raft) {
		refused := 0
		for range 3 * maxReads {
			if _, err := r.ReadIndex(1, ReadByIndex); errors.Is(err, ErrManyReads) {
				refused++
			}
			r.Effects()
		}
		if refused == 0 {
			t.Errorf("%s refuses no read", r.role)
		}
	}
	check := func(r *Raft) {
		t.Helper()
		if n := len(r.leader.reads) + len(r.leader.deferredReads) + len(r.follower.forwardedReads); n > maxReads {
			t.Errorf("%d reads wait at a %s", n, r.role)
		}
		if n := len(r.leader.roundTimes.times); n > maxRoundTimes {
			t.Errorf("%d rounds are remembered", n)
		}
	}
	leader := elect(t, newCore(t, 1, 3, State{}))
	for _, committed := range []bool{false, true} { // first before a commit of its term
		if committed {
			step(t, leader, &AppendEntriesReply{Header: Header{From: 2, To: 1, Term: leader.term}, Match: leader.log.last()})
		}
		for i := range 3 * maxReads {
			step(t, leader, &ReadIndex{Header: Header{From: 2, To: 1, Term: leader.term}, ID: ReadID(i)})
			leader.Effects()
		}
		read(leader)
		check(leader)
	}
	follower := newCore(t, 1, 3, State{})
	step(t, follower, &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, Round: 1})
	settle(follower)
	read(follower)
	check(follower)
}

// A follower whose disk hangs gets messages of a leader, and of candidates, for ever. Its answers
// wait for the disk, and must not grow in number.
func TestAnswersThatWaitForTheDiskAreBounded(t *testing.T) {
	r := newCore(t, 1, 3, State{})
	for i := range 10_000 {
		from := Header{From: 2, To: 1, Term: 5}
		step(t, r, &AppendEntries{Header: from, Round: Round(i + 1)})
		step(t, r, &PreVote{Header: Header{From: 3, To: 1, Term: 4}})
		step(t, r, &RequestVote{Header: Header{From: 3, To: 1, Term: 4}})
		step(t, r, &AppendEntries{Header: Header{From: 3, To: 1, Term: 4}})
		r.Tick(0)
		r.Effects()
	}
	if n := len(r.persist.pendingDurable); n > 4 {
		t.Fatalf("%d messages wait", n)
	}
	r.Persisted(r.persist.lastSeq)
	for _, m := range r.Effects().Messages {
		if reply, ok := m.(*AppendEntriesReply); ok && reply.Round != 10_000 {
			t.Errorf("%s instead of the newest round", reply)
		}
	}
}

// A leader remembers members that were removed until they know it, which those that are down never do.
// Of many changes in a short time, and of many in the log of a new leader, their number is bounded.
func TestRemovedPeersAreBounded(t *testing.T) {
	r := lead(t, NewConfiguration(1))
	check := func() {
		t.Helper()
		if n := len(r.leader.peers); n > maxPeers {
			t.Fatalf("%d peers are kept", n)
		}
	}
	waits := 0
	for id := NodeID(2); id < 10*MaxMembers; {
		for _, next := range []Configuration{withLearners(NewConfiguration(1), id), NewConfiguration(1)} {
			switch _, err := r.ProposeConfiguration(next); {
			case errors.Is(err, ErrChangePending):
				waits++
				r.Tick(0) // those that were removed have been told for long enough at some time
			case err != nil:
				t.Fatal(err)
			default:
				id++
			}
			settle(r)
			check()
		}
	}
	if waits == 0 {
		t.Error("no change had to wait")
	}
	r.becomeFollower(r.term+1, None)
	settle(r)
	elect(t, r)
	settle(r)
	check()
}
