package raft

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// An old copy of a follower's disk is put back while its leader goes on. The leader finds
// out with its next heartbeats, tells the follower, and does not count it; the follower
// stops, and starts no more.
func TestMemberThatForgotItsLogIsShutOut(t *testing.T) {
	c := newCluster(t, options{nodes: 3, seed: 1, tick: 10 * time.Millisecond, heart: 5, election: 50, faults: faults{delay: time.Millisecond, write: time.Millisecond}})
	c.runUntil(10*time.Second, func() bool { return c.leader() != nil })
	l := c.leader()
	f := c.node(l.id%3 + 1)
	write := func(n int) {
		for range n {
			c.propose(l.id, "x")
			c.run(20 * time.Millisecond)
		}
	}
	write(5)
	old := f.disk
	old.entries, old.queue, old.syncing = slices.Clone(old.entries), nil, 0
	write(5)
	c.crash(f.id)
	f.disk = old
	c.start(f.id)
	c.run(time.Second)
	if f.raft.Failure() == nil || !errors.Is(f.raft.Failure(), ErrLostLog) {
		t.Errorf("the follower does not know: %v", f.raft.Failure())
	}
	if p := l.raft.peer(f.id); p.state != lost || l.raft.Role() != Leader {
		t.Fatalf("the leader has it as %s", p.state)
	}

	// The other one goes: with what is left there is no majority.
	c.crash(6 - l.id - f.id)
	before := l.raft.Commit()
	write(3)
	if l.raft.Commit() > before {
		t.Errorf("%d is committed with the help of a disk that has lost entries", l.raft.Commit())
	}

	c.crash(f.id)
	if _, err := New(Config{ID: f.id, Rand: c.rand}, f.disk.load()); !errors.Is(err, ErrLostLog) {
		t.Errorf("it starts again: %v", err)
	}
}

// A reject that was under way when its sender acknowledged more proves nothing: only one
// that answers a round which the leader began after the acknowledgement does.
func TestLateRejectProvesNothing(t *testing.T) {
	r := elect(t, newCore(t, 1, 3, State{}))
	for range 5 {
		if _, err := r.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	settle(r)
	from := Header{From: 2, To: 1, Term: r.term}
	asked := r.round
	step(t, r, &AppendEntriesReply{Header: from, Match: r.log.last(), Round: asked})
	step(t, r, &AppendEntriesReject{Header: from, PrevIndex: 3, ConflictIndex: 2, Round: asked})
	if p := r.peer(2); p.state == lost {
		t.Fatal("a late reject shuts a member out")
	}
	r.Tick(0)
	settle(r)
	step(t, r, &AppendEntriesReject{Header: from, PrevIndex: r.log.last(), ConflictIndex: 2, Round: r.round})
	e := r.Effects()
	if p := r.peer(2); p.state != lost || !slices.Equal(e.ShutOut, []NodeID{2}) {
		t.Errorf("it is %s, and told are %v", p.state, e.ShutOut)
	}
	if len(e.Messages) == 0 || e.Messages[0].Kind() != KindLogLost {
		t.Errorf("the member is not told: %v", e.Messages)
	}
}
