package raft

import (
	"testing"
	"time"
)

func TestPersist13C(t *testing.T) {
	l := newLab(t, 3, false, 0)
	l.one(3, true)
	l.restartAll()
	l.one(3, true)

	l.restart(l.oneLeader())
	l.one(3, true)

	leader := l.oneLeader()
	l.stop(leader)
	l.one(2, true)
	l.restart(leader)
	caughtUp := func() bool { return l.node(leader).applied == l.check.lastCommitted() }
	if !l.runUntil(5*time.Second, caughtUp) {
		t.Fatal("the restarted leader does not catch up")
	}

	follower := l.next(l.oneLeader(), 1)
	l.stop(follower)
	l.one(2, true)
	l.restart(follower)
	l.one(3, true)
}

func TestPersist23C(t *testing.T) {
	l := newLab(t, 5, false, 0)
	for range 5 {
		l.one(5, true)
		leader := l.oneLeader()
		l.stop(l.next(leader, 1), l.next(leader, 2))
		l.one(3, true)
		l.stop(leader, l.next(leader, 3), l.next(leader, 4))
		l.restart(l.next(leader, 1), l.next(leader, 2))
		l.run(labElection)
		l.noLeader()
		l.restart(l.next(leader, 3))
		l.one(3, true)
		l.restart(l.next(leader, 4), leader)
	}
	l.one(5, true)
}

// A leader that was cut off with one follower crashes, and is alone when it restarts.
func TestPersist33C(t *testing.T) {
	l := newLab(t, 3, false, 0)
	l.one(3, true)
	leader := l.oneLeader()
	l.disconnect(l.next(leader, 2))
	l.one(2, true)
	l.stop(leader, l.next(leader, 1))
	l.connect(l.next(leader, 2))
	l.restart(leader)
	l.one(2, true)
	l.restart(l.next(leader, 1))
	l.one(3, true)
}

// pause is mostly short, and sometimes half an election timeout.
func (l *lab) pause() {
	limit := 13 * time.Millisecond
	if l.chance(0.1) {
		limit = labElection / 2
	}
	l.run(l.upTo(limit))
}

// Figure 8 of the paper: leaders crash right after they took a command, so that
// entries of old terms are on a majority without being committed.
func TestFigure83C(t *testing.T) {
	l := newLab(t, 5, false, 0)
	l.one(1, true)
	up := 5
	for range 1000 {
		leader := NodeID(None)
		for _, n := range l.nodes {
			if _, _, ok := l.cluster.propose(n.id, l.newCommand()); ok {
				leader = n.id
			}
		}
		l.pause()
		if leader != None {
			l.stop(leader)
			up--
		}
		if up < 3 {
			if id := NodeID(1 + l.rand.IntN(5)); l.node(id).raft == nil {
				l.restart(id)
				up++
			}
		}
	}
	l.connectAll()
	l.one(5, true)
}

func TestUnreliableAgree3C(t *testing.T) {
	l := newLab(t, 5, true, 0)
	for range 49 {
		var side []string
		for range 4 {
			side = append(side, l.newCommand())
			l.propose(side[len(side)-1])
		}
		l.one(1, true)
		for _, command := range side {
			if _, n := l.whereApplied(command); n > 0 {
				l.agreed++
			} else {
				l.agree(command, 1, true)
			}
		}
	}
	l.setUnreliable(false)
	l.one(5, true)
}

// Figure 8 with cut-off leaders, lost messages and, later, replies that come in any
// order.
func TestFigure8Unreliable3C(t *testing.T) {
	l := newLab(t, 5, true, 0)
	l.one(1, true)
	up := 5
	for round := range 1000 {
		if round == 200 {
			l.reorderReplies()
		}
		leader := NodeID(None)
		for _, n := range l.nodes {
			if _, _, ok := l.cluster.propose(n.id, l.newCommand()); ok && !l.down[n.id] {
				leader = n.id
			}
		}
		l.pause()
		if leader != None && l.chance(0.5) {
			l.disconnect(leader)
			up--
		}
		if up < 3 {
			if id := NodeID(1 + l.rand.IntN(5)); l.down[id] {
				l.connect(id)
				up++
			}
		}
	}
	l.connectAll()
	l.one(5, true)
}

func TestReliableChurn3C(t *testing.T)   { churn(t, false) }
func TestUnreliableChurn3C(t *testing.T) { churn(t, true) }

// churn has three clients propose while servers crash, restart and are cut off.
// What a client saw applied must be in the log at the end.
func churn(t *testing.T, unreliable bool) {
	l := newLab(t, 5, unreliable, 0)
	var seen []string
	stop := false
	var client func(k int)
	client = func(k int) {
		if stop {
			return
		}
		command := l.newCommand()
		var index Index
		var term Term
		for _, n := range l.nodes {
			if i, in, ok := l.cluster.propose(n.id, command); ok {
				index, term = i, in
			}
		}
		wait := time.Duration(79+17*k) * time.Millisecond
		if index > 0 {
			wait = 200 * time.Millisecond
		}
		l.after(wait, func() {
			if index > 0 && l.appliedAt(index) > 0 && l.check.committed[index-1].entry.Term == term {
				seen = append(seen, command)
			}
			client(k)
		})
	}
	for k := range 3 {
		client(k)
	}
	for range 20 {
		id := func() NodeID { return NodeID(1 + l.rand.IntN(5)) }
		if l.chance(0.2) {
			l.disconnect(id())
		}
		if l.chance(0.5) {
			up := id()
			l.start(up)
			l.connect(up)
		}
		if l.chance(0.2) {
			l.crash(id())
		}
		l.run(labElection * 7 / 10)
	}
	l.setUnreliable(false)
	l.connectAll()
	stop = true
	l.run(labElection)
	l.one(5, true)
	for _, command := range seen {
		if _, n := l.whereApplied(command); n != 5 {
			t.Errorf("%q was applied, and is now on %d servers", command, n)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d commands came through", len(seen))
	}
	l.agreed += len(seen)
}
