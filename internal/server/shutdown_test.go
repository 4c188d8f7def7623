package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/wake"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// hungSnapshots is a disk on which writes of snapshots wait until they are released.
type hungSnapshots struct {
	on       atomic.Bool
	began    wake.Signal
	released chan struct{}
}

func (s *hungSnapshots) MaybeError(op errorfs.Op) error {
	if s.on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, "small-") {
		s.began.Set()
		<-s.released
	}
	return nil
}

func (s *hungSnapshots) String() string { return "hung snapshots" }

// A follower that saves a snapshot lets one from the leader wait. Both are broken off when
// it stops: neither waits for the other.
//
// It is not parallel to others, since it looks for a goroutine that others may have, too.
func TestShutdownWaitsForNoSnapshot(t *testing.T) {
	c := newTestCluster(t, options{servers: 3})
	disks, mem := make([]*hungSnapshots, 3), crashfs.NewMem()
	for i := range c.configs {
		disks[i] = &hungSnapshots{began: wake.New(), released: make(chan struct{})}
		c.configs[i].FS = crashfs.Inject(mem, disks[i])
		c.configs[i].MaxRaftState = 5 << 20
		c.configs[i].stopTimeout = patience
	}
	c.startAll()
	leader := c.leader()
	follower := (leader + 1) % 3
	disks[follower].on.Store(true)
	for i := range 12 {
		c.put(fmt.Sprint(i), strings.Repeat("v", 1<<19), 0)
	}
	select {
	case <-disks[follower].began.C():
	case <-time.After(patience):
		t.Fatal("no snapshot was begun")
	}
	node := c.servers[follower].native.Replica().Node
	s := node.Status()
	offer := &raft.InstallSnapshot{
		Header: raft.Header{From: c.servers[leader].id(), To: c.servers[follower].id(), Term: s.Term},
		Meta:   raft.SnapshotMeta{Index: s.Commit + 1000, Term: s.Term, Configuration: s.Configuration},
	}
	var stopping atomic.Bool
	sent := make(chan error, 1)
	go func() { // again and again, as a leader does: a connection may fail
		for {
			err := c.servers[leader].member.Transport().SendSnapshot(t.Context(), offer, strings.NewReader("anything"))
			if err == nil || stopping.Load() {
				sent <- err
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	// It is at the follower once a goroutine there receives it.
	stack := make([]byte, 1<<20)
	eventually(t, "the snapshot does not arrive", func() bool {
		return strings.Contains(string(stack[:runtime.Stack(stack, true)]), "ReceiveSnapshot(")
	})
	stopping.Store(true)
	aborted := make(chan struct{})
	go func() {
		c.servers[follower].Abort()
		close(aborted)
	}()
	// The replica stops although the snapshots wait, and only then does the disk go on.
	eventually(t, "the replica does not stop", func() bool {
		return errors.Is(node.Read(t.Context(), raft.ReadByIndex), rsm.ErrStopped)
	})
	close(disks[follower].released)
	<-aborted
	c.servers[follower] = nil
	files, err := mem.List(filepath.Join(c.configs[follower].DataDir, "wal"))
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

// eventually waits until what is so.
func eventually(t *testing.T, otherwise string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

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
	c := newTestCluster(t, options{servers: 3})
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

// failingDisk is a hungDisk that fails once it answers again.
type failingDisk struct {
	hungDisk
	err error
}

func (d *failingDisk) MaybeError(op errorfs.Op) error {
	if d.hang.Load() == nil {
		return nil
	}
	d.hungDisk.MaybeError(op)
	if strings.Contains(op.Path, "wal") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		return d.err
	}
	return nil
}

// A replica that fails while the server stops is not forgotten: the process ends with an
// error, and the directory of one that diverged is condemned.
func TestAFailureDuringShutdownIsTold(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 1})
	disk := &failingDisk{err: errors.New("the disk is on fire")}
	c.configs[0].FS = crashfs.Inject(crashfs.NewMem(), disk)
	c.startAll()
	c.put("a", "1", 0)
	repair := make(chan struct{})
	disk.hang.Store(&repair)
	s := c.servers[0]
	s.native.Replica().Node.SubmitFunc(state.Command{Op: kv.Op{Kind: kv.Put, Key: "b", Unconditional: true}}, func(state.Result, error) {})
	eventually(t, "nothing is written", func() bool { return s.native.Replica().Node.Status().DiskWait > 0 })
	go s.Abort()
	<-s.ran // nobody watches the replica any more
	close(repair)
	s.Abort()
	if !errors.Is(s.Err(), disk.err) {
		t.Errorf("the server stopped with %v", s.Err())
	}
	c.servers[0] = nil
}

func TestShutdownLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	for i := range c.servers {
		c.stop(i) // the last ones without a majority
	}
	c.clerk.Close()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(time.Millisecond) // gRPC's own end a moment later
	}
}

// brokenState is a disk that gives no run back, once it is told to.
type brokenState struct {
	on       atomic.Bool
	began    wake.Signal
	released chan struct{}
}

func (d *brokenState) MaybeError(op errorfs.Op) error {
	if d.on.Load() && strings.Contains(op.Path, "run-") {
		d.began.Set()
		<-d.released
		return errors.New("broken off")
	}
	return nil
}

func (d *brokenState) String() string { return "broken state" }

// A server that is stopped while it opens its state stops well: nothing was to be done yet.
func TestAStopDuringTheStartIsNoFailure(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 1})
	disk := &brokenState{began: wake.New(), released: make(chan struct{})}
	c.configs[0].FS = crashfs.Inject(crashfs.NewMem(), disk)
	c.startAll()
	c.put("a", "1", 0)
	r := c.servers[0].native.Replica()
	eventually(t, "no checkpoint is made", func() bool {
		r.Node.Checkpoint()
		durable, _ := r.State.Durable()
		return durable > 0
	})
	c.stop(0)
	disk.on.Store(true)
	s := c.start(0)
	c.servers[0] = nil
	select {
	case <-disk.began.C():
	case <-time.After(patience):
		t.Fatal("it does not open its state")
	}
	go s.Shutdown(context.Background())
	<-s.ctx.Done()
	close(disk.released)
	if s.Shutdown(context.Background()); s.Err() != nil {
		t.Errorf("it has stopped with %v", s.Err())
	}
}
