package raft

import (
	"testing"
	"time"
)

// A leader whose state is damaged lets another voter lead where a member needs that state, for some
// time already, and not again soon.
func TestALeaderWhoseStateIsDamagedHandsOver(t *testing.T) {
	const needed = 3
	for _, c := range []struct {
		name    string
		conf    Configuration
		damaged bool
		behind  bool
		want    NodeID
	}{
		{"a voter needs it", NewConfiguration(1, 2, needed), true, true, 2},
		{"a learner needs it", withLearners(NewConfiguration(1, 2), needed), true, true, 2},
		{"it is in order", NewConfiguration(1, 2, needed), false, true, None},
		{"nobody needs it", NewConfiguration(1, 2, needed), true, false, None},
		{"a witness needs none", withWitness(NewConfiguration(1, 2, needed), needed), true, true, None},
	} {
		r := lead(t, c.conf)
		ticks := func(n int) {
			for range n {
				r.StateDamaged(c.damaged)
				r.Tick(0)
				settle(r)
				ack(t, r, 2)
				p := r.peer(needed)
				ackAt(t, r, needed, p.match)
			}
		}
		if !c.behind {
			r.peer(needed).match = r.log.last()
		}
		if _, err := r.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
		settle(r)
		ack(t, r, 2)
		if c.behind {
			r.peer(needed).match = 0
		} else {
			ack(t, r, needed)
		}
		r.Compact(r.commit)
		timeout := r.cfg.ElectionTimeoutTicks
		if ticks(damagedStateTimeouts*timeout - 1); r.Transferring() != None {
			t.Errorf("%s: it hands over at once", c.name)
		}
		if ticks(1); r.Transferring() != c.want {
			t.Errorf("%s: it hands over to %s, want %s", c.name, r.Transferring(), c.want)
		}
		if ticks(timeout); r.Transferring() != None {
			t.Errorf("%s: nobody took over, and it hands over to %s still", c.name, r.Transferring())
		}
		if ticks(timeout); r.Transferring() != None {
			t.Errorf("%s: it hands over again", c.name)
		}
	}
}

// needy is a cluster of three voters, of which some are damaged, and of a learner that needs the state of the leader.
// The state of one that is damaged does not arrive.
func needy(t *testing.T, seed uint64, damaged ...NodeID) *cluster {
	const learner = 4
	c := newCluster(t, options{
		nodes: 4, seed: seed, config: withLearners(NewConfiguration(1, 2, 3), learner), snapshotEvery: 5,
		faults: faults{delay: 5 * time.Millisecond, write: time.Millisecond},
	})
	c.damaged = map[NodeID]bool{}
	for _, id := range damaged {
		c.damaged[id] = true
	}
	c.net.lose = func(m Message) bool {
		s, ok := m.(*InstallSnapshot)
		return ok && c.damaged[s.From]
	}
	c.crash(learner)
	leader := c.awaitLeader(time.Minute)
	for range 30 {
		c.propose(leader.id, "x")
		c.run(20 * time.Millisecond)
	}
	c.start(learner)
	return c
}

// Two voters are damaged. They do not pass leadership to and fro while the third one is in order.
func TestDamagedLeadersFindOneThatIsWhole(t *testing.T) {
	for seed := range uint64(20) {
		c := needy(t, seed, 1, 2)
		caughtUp := func() bool { return c.node(4).applied >= 30 }
		if !c.runUntil(time.Minute, caughtUp) { // three transfers, and a pause of ten election timeouts after each
			t.Errorf("seed %d: a member is behind still, and %s leads", seed, c.leader().id)
		}
	}
}

// All voters are damaged. They hand over again and again, in vain, but ever more rarely. When one is repaired it leads
// in the end.
func TestDamagedLeadersRest(t *testing.T) {
	c := needy(t, 1, 1, 2, 3)
	c.run(30 * time.Minute)
	before := c.awaitLeader(time.Minute).raft.Term()
	c.run(10 * time.Minute)
	// A round takes six minutes at least, and has two transfers of each node.
	if terms := c.awaitLeader(time.Minute).raft.Term() - before; terms == 0 || terms > 2*3*2 {
		t.Errorf("%d terms in ten minutes", terms)
	}
	c.damaged[3] = false
	if !c.runUntil(20*time.Minute, func() bool { return c.node(4).applied >= 30 }) {
		t.Errorf("a member is behind still, and %s leads", c.leader().id)
	}
}
