package raft

import (
	"strings"
	"testing"
	"time"
)

func TestBasicAgree3B(t *testing.T) {
	l := newLab(t, 3, false, 0)
	l.oneLeader()
	next := l.check.lastCommitted() + 1
	for ; next < 5; next++ {
		if n := l.appliedAt(next); n > 0 {
			t.Fatalf("%d servers have applied %d before anything was proposed", n, next)
		}
		if index := l.one(3, false); index != next {
			t.Fatalf("agreed at %d, want %d", index, next)
		}
	}
}

// Each command is sent to each peer once.
func TestRPCBytes3B(t *testing.T) {
	const servers = 3
	l := newLab(t, servers, false, 0)
	l.one(servers, false)
	before, sent := l.net.bytes, 0
	for range 10 {
		command := l.newCommand() + strings.Repeat("x", 5000)
		sent += len(command)
		l.agree(command, servers, false)
	}
	if got, limit := l.net.bytes-before, servers*sent+50_000; got > limit {
		t.Errorf("%d bytes for %d bytes of commands, at most %d expected", got, sent, limit)
	}
	if got, once := l.net.bytes-before, (servers-1)*sent; got < once {
		t.Errorf("%d bytes counted for %d bytes of commands to %d peers", got, sent, servers-1)
	}
}

func TestFollowerFailure3B(t *testing.T) {
	l := newLab(t, 3, false, 0)
	l.one(3, false)
	leader := l.oneLeader()
	l.disconnect(l.next(leader, 1))
	l.one(2, false)
	l.run(labElection)
	l.one(2, false)

	l.disconnect(l.next(leader, 2))
	lost := l.newCommand()
	l.propose(lost)
	l.run(2 * labElection)
	l.never(lost)
}

func TestLeaderFailure3B(t *testing.T) {
	l := newLab(t, 3, false, 0)
	l.one(3, false)
	l.disconnect(l.oneLeader())
	l.one(2, true)
	l.run(labElection)
	l.one(2, false)

	l.disconnect(l.oneLeader())
	lost := l.newCommand()
	for _, n := range l.nodes {
		l.cluster.propose(n.id, lost)
	}
	l.run(2 * labElection)
	l.never(lost)
}

func TestFailAgree3B(t *testing.T) {
	l := newLab(t, 3, false, 0)
	l.one(3, false)
	cut := l.next(l.oneLeader(), 1)
	l.disconnect(cut)
	l.one(2, false)
	l.one(2, false)
	l.run(labElection)
	l.one(2, false)
	l.one(2, false)

	l.connect(cut)
	l.one(3, true)
	l.run(labElection)
	l.one(3, true)
}

func TestFailNoAgree3B(t *testing.T) {
	l := newLab(t, 5, false, 0)
	l.one(5, false)
	leader := l.oneLeader()
	cut := []NodeID{l.next(leader, 1), l.next(leader, 2), l.next(leader, 3)}
	l.disconnect(cut...)
	lost := l.newCommand()
	if !l.propose(lost) {
		t.Fatal("the leader takes no command")
	}
	l.run(2 * labElection)
	l.never(lost)

	// The three may elect one of theirs, or the old leader: either way all agree.
	l.connect(cut...)
	l.oneLeader()
	l.one(5, true)
}

func TestConcurrentStarts3B(t *testing.T) {
	l := newLab(t, 3, false, 0)
	leader := l.oneLeader()
	term := l.terms()
	var commands []string
	places := map[Index]bool{}
	for range 5 {
		command := l.newCommand()
		index, in, ok := l.cluster.propose(leader, command)
		if !ok || in != term {
			t.Fatalf("%q not taken, or in term %d instead of %d", command, in, term)
		}
		commands = append(commands, command)
		places[index] = true
	}
	if len(places) != len(commands) {
		t.Errorf("%d places for %d commands", len(places), len(commands))
	}
	for _, command := range commands {
		done := func() bool { _, n := l.whereApplied(command); return n == 3 }
		if !l.runUntil(2*time.Second, done) {
			t.Errorf("%q was not agreed on", command)
		}
		l.agreed++
	}
}

func TestRejoin3B(t *testing.T) {
	l := newLab(t, 3, false, 0)
	l.one(3, true)
	first := l.oneLeader()
	l.disconnect(first)
	var lost []string
	for range 3 {
		command := l.newCommand()
		l.cluster.propose(first, command)
		lost = append(lost, command)
	}
	l.one(2, true)

	second := l.oneLeader()
	l.disconnect(second)
	l.connect(first)
	l.one(2, true)
	l.connect(second)
	l.one(3, true)
	for _, command := range lost {
		l.never(command)
	}
}

// Twice 50 entries conflict, and the leader must find the last common entry quickly.
func TestBackup3B(t *testing.T) {
	l := newLab(t, 5, false, 0)
	l.one(5, true)
	first := l.oneLeader()
	minority := []NodeID{first, l.next(first, 1)}
	majority := []NodeID{l.next(first, 2), l.next(first, 3), l.next(first, 4)}
	l.disconnect(majority...)
	var lost []string
	fifty := func(id NodeID) {
		for range 50 {
			command := l.newCommand()
			l.cluster.propose(id, command)
			lost = append(lost, command)
		}
		l.run(labElection / 2)
	}
	fifty(first)

	l.disconnect(minority...)
	l.connect(majority...)
	for range 50 {
		l.one(3, true)
	}

	// Another 50 that never commit, now at a leader with one follower.
	second := l.oneLeader()
	other := l.next(first, 2)
	if other == second {
		other = l.next(second, 1)
	}
	l.disconnect(other)
	fifty(second)

	// The first leader, its follower and the third one go on.
	l.disconnectAll()
	l.connect(append(minority, other)...)
	for range 50 {
		l.one(3, true)
	}

	l.connectAll()
	before, began := l.net.requests, l.now
	l.one(5, true)
	if spent := l.net.requests - before; spent > 100+int(l.now-began)/int(l.opt.tick)*8 {
		t.Errorf("%d RPCs to bring everybody up", spent)
	}
	for _, command := range lost {
		l.never(command)
	}
}

func TestCount3B(t *testing.T) {
	const servers, entries = 3, 10
	l := newLab(t, servers, false, 0)
	leader := l.oneLeader()
	if n := l.net.requests; n < 1 || n > 30 {
		t.Errorf("%d RPCs to elect the first leader, want 1 to 30", n)
	}

	before := l.net.requests
	var last string
	for range entries {
		last = l.newCommand()
		l.cluster.propose(leader, last)
	}
	if !l.runUntil(2*time.Second, func() bool { _, n := l.whereApplied(last); return n == servers }) {
		t.Fatal("no agreement")
	}
	l.agreed += entries
	if n := l.net.requests - before; n > (entries+1+3)*3 {
		t.Errorf("%d RPCs for %d agreements, want at most %d", n, entries, (entries+1+3)*3)
	}

	before = l.net.requests
	l.run(time.Second)
	if n := l.net.requests - before; n > 3*20 {
		t.Errorf("%d RPCs in an idle second, want at most %d", n, 3*20)
	}
}
