package raft

import (
	"testing"
	"time"
)

func TestLeaderChangesCountLeadersFound(t *testing.T) {
	l := newLab(t, 3, false, 0)
	changes := func(id NodeID) uint64 { return l.node(id).raft.Status().LeaderChanges }
	first := l.oneLeader()
	other := l.next(first, 1)
	led, followed := changes(first), changes(other)
	if led == 0 || followed == 0 {
		t.Errorf("there is a leader, and it counts %d changes and a follower %d", led, followed)
	}
	l.run(2 * labElection)
	if changes(first) != led || changes(other) != followed {
		t.Errorf("without an election the leader counts %d and then %d changes, a follower %d and then %d",
			led, changes(first), followed, changes(other))
	}

	l.disconnect(first)
	l.oneLeader()
	l.run(time.Second)
	if changes(first) != led { // it leads no more, and has found nobody to follow
		t.Errorf("cut off, the old leader counts %d and then %d changes", led, changes(first))
	}
	if changes(other) <= followed {
		t.Errorf("after an election %s counts %d changes, as before", other, changes(other))
	}
	l.connect(first)
	l.oneLeader()
	l.run(time.Second)
	if changes(first) <= led {
		t.Errorf("the old leader follows the new one and counts %d changes, as before", changes(first))
	}
}
