package raft

import (
	"testing"
	"time"
)

// withOneSuccessor is a cluster of two full voters and a witness. The state machine of the leader hangs, and nothing
// that the other full voter sends reaches it.
func withOneSuccessor(t *testing.T, seed uint64) (c *cluster, leader, other NodeID) {
	const witness = 3
	c = newCluster(t, options{
		nodes: 3, seed: seed, witnesses: []NodeID{witness}, config: withWitness(NewConfiguration(1, 2, witness), witness),
		tick: 10 * time.Millisecond, heart: 5, election: 50, faults: faults{delay: time.Millisecond},
	})
	c.execution = func(id NodeID) time.Duration {
		if id == leader {
			return 24 * time.Hour
		}
		return time.Millisecond
	}
	if !c.runUntil(time.Minute, func() bool { return c.leader() != nil && c.leader().id != witness }) {
		t.Fatal("no full voter leads")
	}
	first := c.leader().id
	c.write(time.Second+time.Duration(seed%5)*100*time.Millisecond, 20*time.Millisecond)
	leader, other = first, witness-first
	c.net.setLink(other, leader, false)
	return c, leader, other
}

// The state machine of a leader hangs, and it does not hear the only one that could lead. That one hears it, as the
// witness does, or it does not and has to get from the witness what it lacks. It leads then.
func TestALeaderWhoseMachineHangsHindersNobody(t *testing.T) {
	for seed := range uint64(20) {
		c, leader, other := withOneSuccessor(t, seed)
		if seed%2 == 0 {
			c.net.setLink(leader, other, false)
		}
		if seed%3 == 0 { // it was asked a short time ago
			s := &c.node(leader).raft.ownState
			s.tried, s.fit = []NodeID{other}, 0
		}
		// Six election timeouts until it makes room. The witness may be elected then, and ask the old leader first.
		if pause := c.write(20*time.Second, 20*time.Millisecond); pause > 6*time.Second || c.leader() == nil || c.leader().id != other {
			t.Errorf("seed %d: the machine of %s hangs, %s could lead, and nothing was executed for %v", seed, leader, other, pause)
		}
	}
}

// The one that could lead is down. The leader makes room for it ever more rarely, and leads in the meantime.
func TestALeaderWhoseMachineHangsAndThatIsAlone(t *testing.T) {
	c, leader, other := withOneSuccessor(t, 1)
	c.net.isolate(other, true)
	c.write(15*time.Minute, 500*time.Millisecond)
	before, led := c.awaitLeader(time.Minute).raft.Term(), 0
	for range 600 {
		c.write(time.Second, 500*time.Millisecond)
		if l := c.leader(); l != nil && l.id == leader {
			led++
		}
	}
	if terms := c.awaitLeader(time.Minute).raft.Term() - before; terms == 0 || terms > restlessTerms || led < 550 {
		t.Errorf("%d terms in ten minutes, and it led for %d seconds", terms, led)
	}
}

// A witness that leads asks one voter after the other to take over. It goes when all were asked in vain.
func TestAWitnessAsksOneAfterTheOther(t *testing.T) {
	r := newWitness(t, 0)
	sendEntries(t, r, command(1), command(1))
	elect(t, r)
	settle(r)
	ack(t, r, 1)
	var asked []NodeID
	for range 4 * r.cfg.ElectionTimeoutTicks {
		if to := r.Transferring(); to != None && (len(asked) == 0 || asked[len(asked)-1] != to) {
			asked = append(asked, to)
		}
		r.Tick(0)
		settle(r)
		if r.Role() == Leader {
			ack(t, r, 1)
			ack(t, r, 2)
		}
	}
	if len(asked) != 2 || asked[0] != 1 || asked[1] != 2 || r.Role() == Leader {
		t.Errorf("it asks %v, and is %s", asked, r.Role())
	}
}

// A node does not take leadership over while it stands aside, or its disk hangs.
func TestWhoStandsAsideIsNotHandedLeadership(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*Raft)
		want Role
	}{
		{"all is well", func(*Raft) {}, Candidate},
		{"its machine hangs", func(r *Raft) { r.ownState.stuck = 1000 }, Candidate},
		{"it has made room", func(r *Raft) { r.ownState.stuck, r.ownState.aside = 1000, 1 }, Follower},
		{"its machine works again", func(r *Raft) { r.ownState.aside = 1 }, Candidate},
		{"its disk hangs", func(r *Raft) { r.persist.waiting = 1000 }, Follower},
	} {
		r := newCore(t, 1, 3, State{})
		step(t, r, &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}})
		settle(r)
		c.make(r)
		step(t, r, &TimeoutNow{Header: Header{From: 2, To: 1, Term: 1}})
		if r.Role() != c.want {
			t.Errorf("%s: it is %s, want %s", c.name, r.Role(), c.want)
		}
	}
}

// A leader whose state machine hangs hands over to the one that could lead, and is heard. It makes room for one that lacks
// entries which it has cut from its log: it would have to give that its state, and the witness may have the entries.
func TestALeaderWhoseMachineHangsAndThatHasCutItsLog(t *testing.T) {
	c, leader, other := withOneSuccessor(t, 1)
	r := c.node(leader).raft
	r.ownState = ownState{stuck: unfitTimeouts * r.cfg.ElectionTimeoutTicks}
	p := r.peer(other)
	p.active, p.match, r.log.base = true, 10, 10
	if !p.recentlyActive() || r.machineHinders() {
		t.Errorf("heard: %v; it makes room for one that it could hand over to", p.recentlyActive())
	}
	if p.match--; !r.machineHinders() {
		t.Error("it makes no room for one that lacks what it has cut from its log")
	}
}
