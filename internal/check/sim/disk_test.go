package sim

import (
	"testing"

	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/rsm/rsmtest"
)

// TestDisk: without faults the disks of the simulation do what rsm says of storage, so that
// no replica there relies on anything that a real disk need not give.
func TestDisk(t *testing.T) {
	for name, kind := range map[string]Disk{"Model": ModelledDisk, "WAL": WALDisk} {
		t.Run(name, func(t *testing.T) {
			disks := testDisks{kind: kind, open: map[string]*disk{}}
			rsmtest.TestStorage(t, func(dir string, conf raft.Configuration) (rsm.Storage, error) {
				return disks.reopen(dir, conf, false)
			})
		})
		t.Run(name+"BehindAPosition", func(t *testing.T) {
			disks := testDisks{kind: kind, open: map[string]*disk{}}
			rsmtest.TestLog(t, func(dir string, conf raft.Configuration) (rsm.Log, error) {
				d, err := disks.reopen(dir, conf, true)
				return positionedLog{d, conf}, err
			})
		})
	}
}

// testDisks are disks by the directory that the suite gives them.
type testDisks struct {
	kind Disk
	open map[string]*disk
}

// reopen opens a disk again after the end of its process.
func (ds *testDisks) reopen(dir string, conf raft.Configuration, durable bool) (*disk, error) {
	d := ds.open[dir]
	if d == nil {
		w := newWorld(Options{Seed: 1, Faults: []Fault{}, Disk: ds.kind, Edit: func(m *Mix) {
			m.Voters, m.Learners, m.Durable = len(conf.Voters.IDs()), 0, durable
		}})
		d = newDisk(w, 1, conf)
		ds.open[dir] = d
	} else {
		d.crash(false)
	}
	return d, d.open()
}

// positionedLog is the log of a machine that keeps its own state, which is durable at each
// position from which the log goes on.
type positionedLog struct {
	*disk
	birth raft.Configuration
}

func (l positionedLog) Save(ps []raft.Persist) error {
	for _, p := range ps {
		if p.Snapshot != nil {
			l.nowDurable(*p.Snapshot)
		}
	}
	return l.disk.Save(ps)
}

// Load lets a machine of the suite come back with an older copy of its state. Machines in the
// simulation do not, so the disk takes that for a loss.
func (l positionedLog) Load(from raft.SnapshotMeta) (raft.State, error) {
	if from.Index < l.snapshot.Index {
		l.snapshot = from
		l.snapshot.Configuration = l.birth
		l.possible = nil // nothing was under way when the process ended
	}
	return l.disk.Load(from)
}
