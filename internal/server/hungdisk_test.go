package server

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
)

// hungDisk is a disk whose syncs of the log do not end while it hangs.
type hungDisk struct{ hang atomic.Pointer[chan struct{}] }

func (d *hungDisk) MaybeError(op errorfs.Op) error {
	if hang := d.hang.Load(); hang != nil && strings.Contains(op.Path, "wal") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		<-*hang
	}
	return nil
}

func (d *hungDisk) String() string { return "hung disk" }

// A server stops in the time that is documented although a write of its disk does not end,
// and says so. The others go on meanwhile.
func TestShutdownWithAHungDisk(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
	disks := make([]*hungDisk, 3)
	for i := range c.configs {
		disks[i] = new(hungDisk)
		c.configs[i].FS = crashfs.Inject(crashfs.NewMem(), disks[i])
		c.configs[i].stopTimeout = 200 * time.Millisecond
	}
	c.startAll()
	c.put("a", "1", 0)
	leader := c.leader()
	repair := make(chan struct{})
	disks[leader].hang.Store(&repair)
	c.put("a", "2", 1)
	s := c.servers[leader]
	s.Shutdown(context.Background())
	if !errors.Is(s.Err(), ErrHangs) {
		t.Errorf("the server says that it has stopped with %v", s.Err())
	}
	c.put("a", "3", 2)
	disks[leader].hang.Store(nil)
	close(repair)
	s.Shutdown(context.Background()) // so that the test leaves nothing behind
	c.servers[leader] = nil
}
