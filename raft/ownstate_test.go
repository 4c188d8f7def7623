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
		if ticks(unfitTimeouts*timeout - 1); r.Transferring() != None {
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

// restlessTerms is how many terms there may be in ten minutes if all of three voters are unfit for long: in the end a
// round takes six minutes at least, and has two transfers of each node.
const restlessTerms = 2 * 3 * 2

// All voters are damaged. They hand over again and again, in vain, but ever more rarely. When one is repaired it leads
// in the end.
func TestDamagedLeadersRest(t *testing.T) {
	c := needy(t, 1, 1, 2, 3)
	c.run(30 * time.Minute)
	before := c.awaitLeader(time.Minute).raft.Term()
	c.run(10 * time.Minute)
	if terms := c.awaitLeader(time.Minute).raft.Term() - before; terms == 0 || terms > restlessTerms {
		t.Errorf("%d terms in ten minutes", terms)
	}
	c.damaged[3] = false
	if !c.runUntil(20*time.Minute, func() bool { return c.node(4).applied >= 30 }) {
		t.Errorf("a member is behind still, and %s leads", c.leader().id)
	}
}

// busy is a cluster of three voters whose clients write all the time, and which may have few commands pending. Its state
// machines take as long as took says for what they are handed.
func busy(t *testing.T, seed uint64, took func(c *cluster, id NodeID) time.Duration) *cluster {
	c := diskCluster(t, 3, seed, func(*cluster, NodeID) time.Duration { return time.Millisecond })
	c.execution = func(id NodeID) time.Duration { return took(c, id) }
	for _, n := range c.nodes {
		n.raft.cfg.MaxPendingBytes = 1000
	}
	c.awaitLeader(time.Minute)
	return c
}

// write proposes one command after the other for a time, and returns the longest time in which no leader executed one.
func (c *cluster) write(d, every time.Duration) (pause time.Duration) {
	last, executed := c.now, Index(0)
	for end := c.now + d; c.now < end; c.run(every) {
		if l := c.leader(); l != nil {
			c.propose(l.id, "x")
			if l.applied > executed {
				last, executed = c.now, l.applied
			}
		}
		pause = max(pause, c.now-last)
	}
	return pause
}

// The state machine of a leader hangs, for good. Another one leads then, and writes go on: also if a machine that hangs
// is elected again, and if two of three hang.
func TestALeaderWhoseMachineHangsHandsOver(t *testing.T) {
	for seed := range uint64(3) {
		hung := map[NodeID]bool{}
		c := busy(t, seed, func(_ *cluster, id NodeID) time.Duration {
			if hung[id] {
				return 24 * time.Hour
			}
			return time.Millisecond
		})
		for range 2 {
			c.write(time.Second, 20*time.Millisecond)
			hung[c.awaitLeader(time.Minute).id] = true
			// Four election timeouts, twice if the other one that hangs is asked first, and a pause of ten.
			if pause := c.write(20*time.Second, 20*time.Millisecond); pause > 10*time.Second {
				t.Errorf("seed %d: %d machines hang, and nothing was executed for %v", seed, len(hung), pause)
			}
		}
	}
}

// All state machines are slow. Where they finish something now and then leadership stays; where one command takes them
// very long, it moves rarely.
func TestSlowMachines(t *testing.T) {
	for _, tt := range []struct {
		took time.Duration // election timeouts are half a second
		want Term          // terms in ten minutes
	}{
		{1800 * time.Millisecond, 0},
		{7 * time.Second, restlessTerms},
		{24 * time.Hour, restlessTerms},
	} {
		c := busy(t, 1, func(*cluster, NodeID) time.Duration { return tt.took })
		c.write(15*time.Minute, 500*time.Millisecond)
		before := c.awaitLeader(time.Minute).raft.Term()
		c.write(10*time.Minute, 500*time.Millisecond)
		if terms := c.awaitLeader(time.Minute).raft.Term() - before; terms > tt.want {
			t.Errorf("%v for a command: %d terms in ten minutes, want at most %d", tt.took, terms, tt.want)
		}
	}
}

// A leader whose log was full before, since nothing makes room, lets another one lead that has room.
func TestALeaderWhoseLogWasFullHandsOver(t *testing.T) {
	r := lead(t, NewConfiguration(1, 2, 3))
	r.LimitLog(1)
	ticks := func(n int) {
		for range n {
			r.Tick(0)
			settle(r)
			ack(t, r, 2)
			ack(t, r, 3)
		}
	}
	if ticks(unfitTimeouts*r.cfg.ElectionTimeoutTicks - 1); r.Transferring() != None {
		t.Error("it hands over at once")
	}
	if ticks(1); r.Transferring() == None {
		t.Error("it stays, and takes no commands")
	}
}

// The status tells for how long a leader may lead on that is unfit: it has handed over in vain, or has tried somebody and may
// come to have tried all.
func TestStatusTellsHowLongAnUnfitLeaderLeadsOn(t *testing.T) {
	r := lead(t, NewConfiguration(1, 2, 3))
	timeout := r.cfg.ElectionTimeoutTicks
	for _, c := range []struct {
		name  string
		state ownState
		want  int
	}{
		{"fit", ownState{}, 0},
		{"it has handed over", ownState{tried: []NodeID{2}}, unfitPauseTimeouts * timeout},
		{"it has handed over after a round", ownState{tried: []NodeID{2}, rounds: 2}, 4 * unfitPauseTimeouts * timeout},
		{"in a pause", ownState{rounds: 2, pause: 7}, 7},
	} {
		r.ownState = c.state
		if got := r.OwnStatus().UnfitPause; got != c.want {
			t.Errorf("%s: %d ticks, want %d", c.name, got, c.want)
		}
	}
}
