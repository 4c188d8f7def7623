package rsm_test

import (
	"errors"
	"testing"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// A follower comes back with its directory as it was at the beginning. It stops, and says
// why; it does so again when it is started again.
func TestReplicaWithAnOldDiskStops(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.leader()
		f := c.others(leader)[0]
		for range 3 {
			c.incAt(leader)
		}
		time.Sleep(200 * time.Millisecond)
		c.stop(f)
		c.disks[f] = &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(c.ids...))}
		c.start(f)
		select {
		case <-c.nodes[f].Done():
		case <-time.After(time.Second):
			t.Fatal("it goes on")
		}
		if err := c.nodes[f].Err(); !errors.Is(err, raft.ErrLostLog) {
			t.Errorf("it stops with %v", err)
		}
		if got := c.incAt(leader); got != 4 {
			t.Errorf("the others are at %d, want 4", got)
		}
	})
}
