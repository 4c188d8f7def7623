package server

import (
	"strings"
	"testing"
	"time"

	"balsa.example/state"
)

// TestSpaceOfOldHistoryComesBack: what Retention does not keep is compacted without anybody's doing,
// and its files are removed.
func TestSpaceOfOldHistoryComesBack(t *testing.T) {
	t.Parallel()
	const puts, valueBytes = 500, 4 << 10
	c := newTestCluster(t, options{servers: 1})
	c.configs[0].Retention, c.configs[0].runBytes = state.Retention{Revisions: 10}, 64<<10
	c.startAll()
	value := strings.Repeat("v", valueBytes)
	for version := range uint64(puts) {
		c.put("key", value, version)
	}
	replica := c.servers[0].native.Replica()
	written, deadline := replica.Node.Status().Applied, time.Now().Add(3*patience)
	for {
		bytes, compacted := replica.State.Figures().RunBytes, replica.State.Compacted()
		onDisk := replica.Node.Status().Snapshot.Index >= written // all of it was
		if onDisk && bytes < puts*valueBytes/4 && compacted > puts*3/4 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there are %d bytes of history, compacted at revision %d, after %d writes of %d bytes", bytes, compacted, puts, valueBytes)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
