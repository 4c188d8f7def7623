package rsm_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// runWitness is run, of replicas 1 and 2 with a state, and the witness 3.
func runWitness(t *testing.T, maxWitnessBytes int64, f func(t *testing.T, c *cluster)) {
	run(t, 3, 2000, func(t *testing.T, c *cluster) {
		conf := raft.NewConfiguration(1, 2, 3)
		conf.Witnesses = []raft.NodeID{3}
		c.witnesses = map[raft.NodeID]bool{3: true}
		c.settings = func(cfg *rsm.Config[int64, int64]) {
			if c.witnesses[cfg.ID] {
				cfg.Machine, cfg.Codec, cfg.Witness, cfg.MaxWitnessBytes, cfg.MaxPendingBytes = nil, nil, true, maxWitnessBytes, 5000
			}
		}
		for _, id := range c.ids {
			c.stop(id)
			c.disks[id] = &slowDisk{MemoryStorage: rsm.NewMemoryStorage(conf)}
		}
		for _, id := range c.ids {
			c.start(id)
		}
		f(t, c)
	})
}

// fullLeader waits until a replica that is no witness leads.
func (c *cluster) fullLeader() raft.NodeID {
	c.t.Helper()
	for range 100 {
		if id := c.leader(); !c.witnesses[id] {
			return id
		}
	}
	c.t.Fatal("a witness leads on")
	return raft.None
}

// The schedule that a witness is for: one replica is away, the other one and the witness commit, and
// the other one is lost for good. What was acknowledged is there when the first comes back.
func TestWitnessHandsItsTailOver(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		runWitness(t, 0, func(t *testing.T, c *cluster) {
			for range 50 {
				c.inc()
			}
			lost := c.fullLeader()
			away := 3 - lost
			c.stop(away)
			for range 200 { // more than MaxRaftState: the leader makes snapshots, and cuts its log
				c.inc()
			}
			if s := c.nodes[lost].Status(); s.FirstIndex < 60 {
				t.Fatalf("the leader has its log from %d on", s.FirstIndex)
			}
			c.stop(lost)
			c.ids = []raft.NodeID{away, 3}
			if restarted {
				c.stop(3)
				c.start(3)
			}
			c.start(away)
			c.everywhereFull(250, away)
			if leader := c.fullLeader(); leader != away {
				t.Fatalf("%s leads", leader)
			}
			if got := c.inc(); got != 251 {
				t.Errorf("the counter is %d, want 251", got)
			}
		})
	}
}

// everywhereFull waits until the given replicas hold want.
func (c *cluster) everywhereFull(want int64, ids ...raft.NodeID) {
	c.t.Helper()
	for range 200 {
		if !slices.ContainsFunc(ids, func(id raft.NodeID) bool { return c.machines[id].get() != want }) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, id := range ids {
		c.t.Errorf("%s holds %d, want %d", id, c.machines[id].get(), want)
	}
	c.t.FailNow()
}

// While all are there a witness keeps little. It executes nothing, and answers nothing.
func TestWitnessKeepsLittle(t *testing.T) {
	runWitness(t, 0, func(t *testing.T, c *cluster) {
		leader := c.fullLeader()
		for range 1000 {
			c.incAt(leader)
		}
		time.Sleep(time.Second)
		w := c.nodes[3]
		if s := w.Status(); s.Commit < 1000 || s.Applied != s.Commit || c.disks[3].LogBytes() > 3000 || c.disks[3].SnapshotBytes() != 0 {
			t.Errorf("it has applied %d of %d; its log has %d bytes, its snapshot %d", s.Applied, s.Commit, c.disks[3].LogBytes(), c.disks[3].SnapshotBytes())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, _, err := w.SubmitAnywhere(ctx, 1); !errors.Is(err, rsm.ErrWitness) {
			t.Errorf("a submit to it returns %v", err)
		}
		if _, err := w.ReadAnywhere(ctx, raft.ReadByIndex); !errors.Is(err, rsm.ErrWitness) {
			t.Errorf("a read of it returns %v", err)
		}
		if err := c.nodes[leader].TransferLeadership(ctx, 3); !errors.Is(err, raft.ErrNotVoter) {
			t.Errorf("a transfer to it returns %v", err)
		}
	})
}

// A witness whose tail is at its bound takes no more. The leader says so, until the other replica is
// back, or removed.
func TestWitnessThatIsFull(t *testing.T) {
	for _, removed := range []bool{false, true} {
		runWitness(t, 5000, func(t *testing.T, c *cluster) {
			leader := c.fullLeader()
			c.incAt(leader)
			other := 3 - leader
			c.stop(other)
			time.Sleep(2 * time.Second) // the leader notices
			submit := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := c.nodes[leader].Submit(ctx, 1)
				return err
			}
			var err error
			for i := 0; err == nil && i < 1000; i++ {
				err = submit()
			}
			if !errors.Is(err, rsm.ErrBusy) {
				t.Fatalf("beyond the bound a submit ends with %v", err)
			}
			if p := c.peer(leader, 3); !p.WitnessFull {
				t.Errorf("the leader knows of it: %+v", p)
			}
			if got := c.disks[3].LogBytes(); got < 4000 || got > 10500 {
				t.Errorf("its log has %d bytes", got)
			}
			if removed {
				c.ids = []raft.NodeID{leader, 3}
				c.change(remove(other))
			} else {
				c.start(other)
			}
			for range 100 {
				if err = submit(); err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			if err != nil {
				t.Errorf("later: %v", err)
			}
		})
	}
}

// A witness joins a cluster whose log begins long after its first entry, and is all that remains
// beside one replica.
func TestWitnessJoins(t *testing.T) {
	run(t, 2, 1000, func(t *testing.T, c *cluster) {
		for range 300 {
			c.inc()
		}
		c.settings = func(cfg *rsm.Config[int64, int64]) {
			if cfg.ID == 3 {
				cfg.Machine, cfg.Codec, cfg.Witness = nil, nil, true
			}
		}
		c.join(3)
		c.change(func(conf *raft.Configuration) {
			addLearner(3)(conf)
			conf.Witnesses = []raft.NodeID{3}
		})
		conf := c.change(promote(3))
		if conf.Part(3) != raft.Witness {
			t.Fatalf("the members are %s", conf)
		}
		c.witnesses = map[raft.NodeID]bool{3: true}
		leader := c.fullLeader()
		c.stop(3 - leader)
		if got := c.inc(); got != 301 {
			t.Errorf("the counter is %d", got)
		}
		c.restartAll()
		if got := c.inc(); got != 302 {
			t.Errorf("after a restart the counter is %d", got)
		}
		c.change(remove(3))
		c.gone(3)
	})
}

func TestWitnessHasNoMachine(t *testing.T) {
	if _, err := rsm.Start(rsm.Config[int64, int64]{ID: 3, Witness: true, Machine: &counter{}}); err == nil {
		t.Error("a witness with a machine starts")
	}
}
