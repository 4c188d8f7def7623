package server

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// slowSnapshots is a disk that takes long for each write of a snapshot.
type slowSnapshots struct {
	on    atomic.Bool
	began chan struct{} // capacity 1
}

func (s *slowSnapshots) MaybeError(op errorfs.Op) error {
	if s.on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, ".snap") {
		notify(s.began)
		time.Sleep(200 * time.Millisecond)
	}
	return nil
}

func (s *slowSnapshots) String() string { return "slow snapshots" }

// A follower that saves a snapshot lets one from the leader wait. Both are broken off when
// it stops: neither waits for the other.
func TestShutdownWaitsForNoSnapshot(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
	disks, mem := make([]*slowSnapshots, 3), vfs.NewMem()
	for i := range c.configs {
		disks[i] = &slowSnapshots{began: make(chan struct{}, 1)}
		c.configs[i].FS = errorfs.Wrap(mem, disks[i])
		c.configs[i].MaxRaftState = 5 << 20
	}
	c.startAll()
	leader := c.leader()
	follower := (leader + 1) % 3
	disks[follower].on.Store(true)
	for i := range 12 {
		c.put(fmt.Sprint(i), strings.Repeat("v", 1<<19), 0)
	}
	select {
	case <-disks[follower].began:
	case <-time.After(patience):
		t.Fatal("no snapshot was begun")
	}
	node := c.servers[follower].front.replica.Load().Node
	s := node.Status()
	offer := &raft.InstallSnapshot{
		Header: raft.Header{From: c.servers[leader].self.ID, To: c.servers[follower].self.ID, Term: s.Term},
		Meta:   raft.SnapshotMeta{Index: s.Commit + 1000, Term: s.Term, Configuration: s.Configuration},
	}
	sent := make(chan error, 1)
	go func() {
		sent <- c.servers[leader].transport.SendSnapshot(context.Background(), offer, strings.NewReader("anything"))
	}()
	// It is at the follower once a goroutine there receives it.
	stack := make([]byte, 1<<20)
	for deadline := time.Now().Add(patience); !strings.Contains(string(stack[:runtime.Stack(stack, true)]), "ReceiveSnapshot("); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the snapshot does not arrive")
		}
	}
	c.servers[follower].Abort()
	c.servers[follower] = nil
	files, err := mem.List(filepath.Join(c.configs[follower].DataDir, walName))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, ".snap") && name != fmt.Sprintf("%016x.snap", 0) {
			t.Errorf("%s was saved to its end", name)
		}
	}
	if err := <-sent; err == nil {
		t.Error("the snapshot was stored")
	}
}
