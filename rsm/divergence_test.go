package rsm_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// noticing is how long it may take a replica to find that its state is another than that of
// its peers: a leader asks each second.
const noticing = 2500 * time.Millisecond

// TestOddOneOutStops: one replica makes a mistake, be it the leader or not.
func TestOddOneOutStops(t *testing.T) {
	for _, leads := range []bool{true, false} {
		t.Run(fmt.Sprint("leader=", leads), func(t *testing.T) {
			run(t, 3, -1, func(t *testing.T, c *cluster) {
				c.inc()
				odd := c.leader()
				if !leads {
					odd = odd%3 + 1
				}
				c.machines[odd].err(100)
				c.inc()
				select {
				case <-c.nodes[odd].Done():
				case <-time.After(noticing):
					t.Fatalf("%s goes on", odd)
				}
				if err := c.nodes[odd].Err(); !errors.Is(err, rsm.ErrDiverged) {
					t.Errorf("%s stops: %v", odd, err)
				}
				c.stop(odd)
				c.leader()
				for range 20 {
					c.inc()
					time.Sleep(noticing / 10)
				}
			})
		})
	}
}

// TestWritesAreRefusedWhereNoMajorityAgrees: of three replicas one is down, and the others
// differ. When the third is back it decides.
func TestWritesAreRefusedWhereNoMajorityAgrees(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		leader := c.leader()
		odd, down := leader%3+1, (leader+1)%3+1
		c.stop(down)
		c.machines[odd].err(100)
		c.inc()
		time.Sleep(noticing)
		if _, err := c.nodes[leader].Submit(t.Context(), 1); !errors.Is(err, rsm.ErrAlarm) || !c.nodes[leader].Status().Alarm {
			t.Fatalf("a write: %v; status %+v", err, c.nodes[leader].Status())
		}
		c.start(down)
		time.Sleep(2 * noticing)
		if err := c.nodes[odd].Err(); !errors.Is(err, rsm.ErrDiverged) {
			t.Errorf("%s: %v", odd, err)
		}
		c.stop(odd)
		c.inc()
	})
}

// TestRestartsAndSnapshotsAreNoDivergence: replicas replay, restore and catch up, and all
// the time their states are compared.
func TestRestartsAndSnapshotsAreNoDivergence(t *testing.T) {
	run(t, 3, 400, func(t *testing.T, c *cluster) {
		for i := range 12 {
			id := raft.NodeID(i%3 + 1)
			c.stop(id)
			for range 30 {
				c.inc()
				time.Sleep(20 * time.Millisecond)
			}
			c.start(id)
			time.Sleep(time.Second)
			for id, n := range c.nodes {
				if err := n.Err(); err != nil || n.Status().Alarm || len(n.Status().Diverged) > 0 {
					t.Fatalf("%s: %v, %+v", id, err, n.Status())
				}
			}
		}
	})
}
