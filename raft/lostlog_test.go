package raft

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// An old copy of a follower's disk is put back while its leader goes on. The leader notices with
// its next heartbeats, tells the follower, and does not count it any more. The follower fails,
// and cannot be started again.
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
	f.disk, f.forgetful = old, true
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

// A reject that was under way when its sender acknowledged more proves no loss. One that answers
// a round which the leader began after the acknowledgement does.
func TestLateRejectProvesNothing(t *testing.T) {
	r := elect(t, newCore(t, 1, 3, State{}))
	for range 5 {
		if _, err := r.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	settle(r)
	from := Header{From: 2, To: 1, Term: r.term}
	asked := r.leader.round
	step(t, r, &AppendEntriesReply{Header: from, Match: r.log.last(), Round: asked})
	step(t, r, &AppendEntriesReject{Header: from, PrevIndex: 3, ConflictIndex: 2, Round: asked})
	if p := r.peer(2); p.state == lost {
		t.Fatal("a late reject shuts a member out")
	}
	r.Tick(0)
	settle(r)
	step(t, r, &AppendEntriesReject{Header: from, PrevIndex: r.log.last(), ConflictIndex: 2, Round: r.leader.round})
	settle(r) // a round that shows whether this node led then
	step(t, r, &AppendEntriesReject{Header: from, PrevIndex: r.log.last(), ConflictIndex: 2, Round: r.leader.round})
	e := r.Effects()
	if p := r.peer(2); p.state != lost || !slices.Equal(e.ShutOut, []NodeID{2}) {
		t.Errorf("it is %s, and told are %v", p.state, e.ShutOut)
	}
	if len(e.Messages) == 0 || e.Messages[0].Kind() != KindLogLost {
		t.Errorf("the member is not told: %v", e.Messages)
	}
}

// A member whose disk is in order is never shut out: not by messages that come late, twice and in
// any order, not when it restarts, takes snapshots, or is a learner. The checker fails the test if
// a member is.
func TestHealthyMembersAreNotShutOut(t *testing.T) {
	rejects := 0
	for seed := range uint64(20) {
		conf := NewConfiguration(1, 2, 3)
		conf.Learners = []NodeID{4}
		c := newCluster(t, options{nodes: 4, config: conf, seed: seed, tick: 10 * time.Millisecond, heart: 2, election: 20, snapshotEvery: 5, inflight: 4,
			faults: faults{delay: 2 * time.Millisecond, slow: time.Second, slowShare: 0.3, duplicate: 0.5, loss: 0.1, write: 4 * time.Millisecond, crashStored: 0.2}})
		c.net.lose = func(m Message) bool {
			if m.Kind() == KindAppendEntriesReject {
				rejects++
			}
			return false
		}
		for range 200 {
			if l := c.leader(); l != nil {
				c.propose(l.id, "x")
			}
			c.run(c.upTo(40 * time.Millisecond))
			if id := NodeID(1 + c.rand.IntN(4)); c.chance(0.1) {
				c.crash(id)
				c.run(c.upTo(100 * time.Millisecond))
				c.start(id)
			}
		}
		if c.check.lastCommitted() < 20 {
			t.Errorf("seed %d: only %d entries", seed, c.check.lastCommitted())
		}
	}
	if rejects < 1000 {
		t.Errorf("only %d rejects", rejects)
	}
}

// During a transfer the successor turns out to have lost its log. The leader gives the transfer up
// at once, so that writes do not wait for it.
func TestTransferToAMemberThatForgotItsLogIsGivenUp(t *testing.T) {
	r := elect(t, newCore(t, 1, 3, State{}))
	settle(r)
	from := Header{From: 2, To: 1, Term: r.term}
	step(t, r, &AppendEntriesReply{Header: from, Match: r.log.last(), Round: r.leader.round})
	if _, err := r.Propose([]byte("x")); err != nil {
		t.Fatal(err)
	}
	settle(r)
	if err := r.TransferLeadership(2); err != nil {
		t.Fatal(err)
	}
	for range r.cfg.HeartbeatTicks {
		r.Tick(0)
	}
	settle(r)
	for range 2 { // after the first it is only suspected
		step(t, r, &AppendEntriesReject{Header: from, PrevIndex: r.log.last(), ConflictIndex: 1, Round: r.leader.round})
		settle(r)
	}
	if p := r.peer(2); p.state != lost {
		t.Fatalf("it is %s", p.state)
	}
	if _, err := r.Propose([]byte("y")); err != nil {
		t.Errorf("a write: %v", err)
	}
	if err := r.TransferLeadership(2); err == nil {
		t.Error("leadership is transferred to it")
	}
}

// Node 1 leads term 2, and does not know yet of a later leader. Node 2, still in term 2, has stored
// that leader's snapshot in place of entries that it had acknowledged, so it has lost nothing.
// Node 1 can exclude that only when a quorum has acknowledged a round that began after the reject.
func TestSnapshotOfALaterLeaderIsNoLoss(t *testing.T) {
	for _, past := range []Index{3, 5} { // the snapshot ends before or behind the acknowledged entries
		r := elect(t, newCore(t, 1, 5, State{HardState: HardState{Term: 1}}))
		propose := func() {
			if _, err := r.Propose([]byte("x")); err != nil {
				t.Fatal(err)
			}
			settle(r)
		}
		for range 3 {
			propose()
		}
		from := Header{From: 2, To: 1, Term: r.term}
		step(t, r, &AppendEntriesReply{Header: from, Match: 4, Round: r.leader.round})
		propose()
		propose()
		f := newCore(t, 2, 5, State{
			HardState: HardState{Term: r.term},
			Snapshot:  SnapshotMeta{Index: past, Term: 1, Configuration: r.configuration()},
		})
		rejects := 0
		talk := func(rounds int) {
			for range rounds {
				r.Tick(0)
				for _, m := range settle(r) {
					if m.Head().To == f.id {
						step(t, f, m)
					}
				}
				for _, m := range settle(f) {
					if m.Kind() == KindAppendEntriesReject {
						rejects++
					}
					step(t, r, m)
				}
			}
		}
		talk(5)
		if p := r.peer(2); p.state == lost || rejects == 0 {
			t.Errorf("snapshot at %d: a healthy member is %s after %d rejects", past, p.state, rejects)
		}
		for _, id := range []NodeID{3, 4} {
			step(t, r, &AppendEntriesReply{Header: Header{From: id, To: 1, Term: r.term}, Match: 1, Round: r.leader.round})
		}
		if step(t, r, &AppendEntriesReply{Header: Header{From: 3, To: 1, Term: r.term}, Match: 4, Round: r.leader.round}); r.commit == 4 {
			t.Errorf("snapshot at %d: an acknowledgement in doubt commits", past)
		}
		talk(3)
		if p := r.peer(2); p.state != lost {
			t.Errorf("snapshot at %d: it is %s when a quorum still follows", past, p.state)
		}
	}
}
