package raft

import (
	"testing"
	"time"
)

func TestInitialElection3A(t *testing.T) {
	l := newLab(t, 3, false, 0)
	leader := l.oneLeader()
	term := l.terms()
	l.run(2 * labElection)
	if now := l.terms(); now != term {
		t.Errorf("term went from %d to %d without a failure", term, now)
	}
	if now := l.oneLeader(); now != leader {
		t.Errorf("leader changed from %s to %s without a failure", leader, now)
	}
}

func TestReElection3A(t *testing.T) {
	l := newLab(t, 3, false, 0)
	first := l.oneLeader()
	l.disconnect(first)
	l.oneLeader()

	// The old leader comes back and disturbs nobody.
	l.connect(first)
	second := l.oneLeader()
	if second == first {
		t.Errorf("%s leads again though another was elected", first)
	}

	other := l.next(second, 1)
	l.disconnect(second, other)
	l.run(2 * labElection)
	l.noLeader()

	l.connect(other)
	l.oneLeader()
	l.connect(second)
	l.oneLeader()
}

func TestManyElections3A(t *testing.T) {
	l := newLab(t, 7, false, 0)
	l.oneLeader()
	for range 10 {
		cut := l.rand.Perm(7)[:3]
		for _, k := range cut {
			l.disconnect(NodeID(k + 1))
		}
		l.oneLeader()
		for _, k := range cut {
			l.connect(NodeID(k + 1))
		}
	}
	l.oneLeader()
	l.run(time.Second)
}
