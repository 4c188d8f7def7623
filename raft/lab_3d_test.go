package raft

import "testing"

// labSnapshots is how many commands are applied between two snapshots, and
// labLogBytes how large a log may become.
const (
	labSnapshots = 10
	labLogBytes  = 2000
)

func TestSnapshotBasic3D(t *testing.T)             { snapshots(t, false, false, false) }
func TestSnapshotInstall3D(t *testing.T)           { snapshots(t, true, false, false) }
func TestSnapshotInstallUnreliable3D(t *testing.T) { snapshots(t, true, true, false) }
func TestSnapshotInstallCrash3D(t *testing.T)      { snapshots(t, false, false, true) }
func TestSnapshotInstallUnCrash3D(t *testing.T)    { snapshots(t, false, true, true) }

// snapshots cuts off or crashes a server again and again while the others go on,
// mostly far enough that it can catch up only by a snapshot.
func snapshots(t *testing.T, cut, unreliable, crash bool) {
	l := newLab(t, 3, unreliable, labSnapshots)
	l.one(3, true)
	leader := l.oneLeader()
	for round := range 30 {
		victim, others := l.next(leader, 1), 3
		if round%3 == 1 {
			victim = leader
		}
		if cut {
			l.disconnect(victim)
		}
		if crash {
			l.stop(victim)
		}
		if cut || crash {
			others = 2
			l.one(others, true)
		}
		for range labSnapshots/2 + l.rand.IntN(labSnapshots) {
			l.propose(l.newCommand())
		}
		l.one(others, true)
		if size := l.logBytes(); size > labLogBytes {
			t.Fatalf("a log of %d bytes in round %d, at most %d expected", size, round, labLogBytes)
		}
		if cut {
			l.connect(victim)
		}
		if crash {
			l.restart(victim)
		}
		l.one(3, true)
		leader = l.oneLeader()
	}
	if (cut || crash) && l.check.restores < 5 {
		t.Errorf("only %d snapshots were installed", l.check.restores)
	}
}

func TestSnapshotAllCrash3D(t *testing.T) {
	l := newLab(t, 3, false, labSnapshots)
	l.one(3, true)
	for range 5 {
		for range labSnapshots/2 + l.rand.IntN(labSnapshots) {
			l.one(3, true)
		}
		before := l.one(3, true)
		l.restartAll()
		if after := l.one(3, true); after <= before {
			t.Fatalf("index %d after the restart, %d before", after, before)
		}
	}
}

// A restart right after a restart must still know the snapshot.
func TestSnapshotInit3D(t *testing.T) {
	l := newLab(t, 3, false, labSnapshots)
	for range labSnapshots + 1 {
		l.one(3, true)
	}
	l.restartAll()
	l.one(3, true)
	l.restartAll()
	l.one(3, true)
	for _, n := range l.nodes {
		if n.disk.snapshot.Index == 0 {
			t.Errorf("%s has no snapshot", n.id)
		}
	}
}
