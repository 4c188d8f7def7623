package rsm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// The disk of the leader hangs, those of the others are a majority: its writes and reads go
// on at once, and soon another leads.
func TestHungDiskOfTheLeader(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		hung := c.leader()
		c.inc()
		repair := c.disks[hung].hangs()
		began := time.Now()
		if got := c.incAt(hung); got != 2 {
			t.Errorf("the counter is at %d, want 2", got)
		}
		if err := c.nodes[hung].Read(t.Context(), raft.ReadByIndex); err != nil {
			t.Errorf("read: %v", err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("a write and a read took %v with one hung disk of three", took)
		}
		for c.nodes[hung].Status().Role == raft.Leader && time.Since(began) < time.Minute {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("after %v the leader whose disk hangs is still %s", took, hung)
		}
		if wait := c.nodes[hung].Status().DiskWait; wait < 500*time.Millisecond {
			t.Errorf("status says that the disk is at work for %v", wait)
		}
		if other := c.leader(c.others(hung)...); c.incAt(other) != 3 {
			t.Errorf("the new leader has lost a write")
		}
		c.everywhere(3) // also on the one whose disk hangs
		repair()
		c.inc()
		c.everywhere(4)
		if wait := c.nodes[hung].Status().DiskWait; wait != 0 {
			t.Errorf("status says that the disk is at work for %v when it has nothing to do", wait)
		}
	})
}

// All disks are slow to the same degree: nobody is better, and leadership does not wander.
func TestEquallySlowDisksKeepTheirLeader(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.leader()
		for range 20 {
			var repairs []func()
			for _, id := range c.ids {
				repairs = append(repairs, c.disks[id].hangs())
			}
			done := make(chan int64)
			go func() { done <- c.incAt(leader) }()
			time.Sleep(700 * time.Millisecond) // beyond the election timeout
			for _, repair := range repairs {
				repair()
			}
			<-done
		}
		if now := c.leader(); now != leader {
			t.Errorf("%s led, and now %s does", leader, now)
		}
	})
}

// A disk that hangs is told of in the log while it does, and when it works again.
func TestHungDiskIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		disk := &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(1))}
		net := memnet.New(1)
		defer net.Close()
		n, err := rsm.Start(rsm.Config[int64, int64]{
			ID: 1, Machine: &counter{}, Codec: codec{}, Log: disk, Snapshots: disk, Transport: net.Node(1),
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Stop()
		time.Sleep(2 * time.Second)
		repair := disk.hangs()
		n.SubmitFunc(1, func(int64, error) {})
		time.Sleep(10 * time.Second)
		if told := strings.Count(out.String(), "the disk is slow"); told < 2 || told > 6 {
			t.Errorf("told %d times in 10 s while the disk hangs:\n%s", told, &out)
		}
		repair()
		time.Sleep(time.Second)
		if !strings.Contains(out.String(), "the disk works again") {
			t.Errorf("not told when it works again:\n%s", &out)
		}
	})
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Who waits for a Submit hears that the replica stops, although its disk does not answer
// and Stop has to wait for that.
func TestStopWithAHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(1))}
		net := memnet.New(1)
		defer net.Close()
		n, err := rsm.Start(rsm.Config[int64, int64]{
			ID: 1, Machine: &counter{}, Codec: codec{}, Log: disk, Snapshots: disk, Transport: net.Node(1),
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		repair := disk.hangs()
		outcome := make(chan error, 1)
		n.SubmitFunc(1, func(_ int64, err error) { outcome <- err })
		time.Sleep(time.Second)
		stopped := make(chan struct{})
		go func() { n.Stop(); close(stopped) }()
		synctest.Wait()
		select {
		case err := <-outcome:
			if !errors.Is(err, rsm.ErrStopped) {
				t.Errorf("Submit ended with %v", err)
			}
		default:
			t.Error("Submit still waits")
		}
		select {
		case <-stopped:
			t.Error("Stop has returned while a Save is under way")
		default:
		}
		repair()
		<-stopped
	})
}

// opaque is a machine that ignores large operations.
type opaque struct{ n int }

func (m *opaque) DoOp([]byte) int                { m.n++; return m.n }
func (m *opaque) Snapshot() (io.WriterTo, error) { return new(bytes.Buffer), nil }
func (m *opaque) Restore(io.Reader) error        { return nil }

// raw are operations that are bytes.
type raw struct{}

func (raw) Append(dst, op []byte) []byte       { return append(dst, op...) }
func (raw) Decode(data []byte) ([]byte, error) { return data, nil }

// startOpaque starts a replica alone, and waits until it leads.
func startOpaque(t *testing.T, disk rsm.Storage, maxRaftState, maxPending int64) *rsm.Node[[]byte, int] {
	net := memnet.New(1)
	t.Cleanup(func() { net.Close() })
	n, err := rsm.Start(rsm.Config[[]byte, int]{
		ID: 1, Machine: &opaque{}, Codec: raw{}, Log: disk, Snapshots: disk, Transport: net.Node(1),
		MaxRaftState: maxRaftState, MaxPendingBytes: maxPending, MaxOpBytes: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	return n
}

// An operation above the limit is refused for good, and nothing else suffers from it.
func TestTooLargeOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startOpaque(t, &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(1))}, -1, 0)
		defer n.Stop()
		for _, c := range []struct {
			bytes int
			want  error
		}{{1, nil}, {1 << 20, nil}, {1<<20 + 1, rsm.ErrTooLarge}, {65 << 20, rsm.ErrTooLarge}, {1, nil}} {
			if _, err := n.Submit(t.Context(), make([]byte, c.bytes)); !errors.Is(err, c.want) {
				t.Errorf("%d bytes: %v, want %v", c.bytes, err, c.want)
			}
		}
	})
	storage := rsm.NewMemoryStorage(raft.NewConfiguration(1))
	for _, bytes := range []int{-1, rsm.MaxOpBytesLimit + 1} {
		_, err := rsm.Start(rsm.Config[[]byte, int]{
			ID: 1, Machine: &opaque{}, Codec: raw{}, Log: storage, Snapshots: storage,
			Transport: memnet.New(1).Node(1), MaxOpBytes: bytes,
		})
		if err == nil || !strings.Contains(err.Error(), "MaxOpBytes") {
			t.Errorf("MaxOpBytes of %d: %v", bytes, err)
		}
	}
}

// submitUntilBusy submits operations until one is refused, for a minute at most.
func submitUntilBusy(t *testing.T, n *rsm.Node[[]byte, int], bytes int) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		outcome := make(chan error, 1)
		n.SubmitFunc(make([]byte, bytes), func(_ int, err error) { outcome <- err })
		time.Sleep(time.Millisecond)
		select {
		case err := <-outcome:
			if err != nil {
				return err
			}
		default: // it waits for the disk
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// While a snapshot is written the log may grow up to its bound, and no further; when the
// snapshot is done there is room again.
func TestLogIsBoundedWhileASnapshotIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finish := make(chan struct{})
		disk := &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(1)),
			snapshot: func(raft.SnapshotMeta) { <-finish }}
		const maxRaftState, maxPending, op = 20_000, 10_000, 1000
		n := startOpaque(t, disk, maxRaftState, maxPending)
		defer n.Stop()
		if err := submitUntilBusy(t, n, op); !errors.Is(err, rsm.ErrBusy) {
			t.Fatalf("the log grows without end: %v", err)
		}
		if held, bound := n.Status().LogBytes, int64(3*maxRaftState+maxPending+2*op); held < 3*maxRaftState || held > bound {
			t.Errorf("it was busy with a log of %d bytes; the bound is %d", held, bound)
		}
		close(finish)
		time.Sleep(time.Second)
		if _, err := n.Submit(t.Context(), make([]byte, op)); err != nil {
			t.Errorf("after the snapshot: %v", err)
		}
		if held := n.Status().LogBytes; held > maxRaftState {
			t.Errorf("the log has %d bytes after the snapshot", held)
		}
	})
}

// Who waits hears that the replica stops, although the machine does not come back from an
// operation of somebody else.
func TestStopWithAMachineThatHangs(t *testing.T) {
	run(t, 1, -1, func(t *testing.T, c *cluster) {
		id := c.leader()
		gate := make(chan struct{})
		c.machines[id].hold(gate)
		outcomes := make(chan error, 3)
		for range cap(outcomes) {
			c.nodes[id].SubmitFunc(1, func(_ int64, err error) { outcomes <- err })
			time.Sleep(100 * time.Millisecond)
		}
		n := c.nodes[id]
		stopped := make(chan struct{})
		go func() { n.Stop(); close(stopped) }()
		synctest.Wait()
		if got := len(outcomes); got != cap(outcomes)-1 { // all but the one that is being executed
			t.Errorf("%d of %d have heard that the replica stops", got, cap(outcomes))
		}
		close(gate)
		<-stopped
		for range cap(outcomes) {
			if err := <-outcomes; err != nil && !errors.Is(err, rsm.ErrStopped) {
				t.Errorf("one ends with %v", err)
			}
		}
	})
}

// Operations that come at once are executed as one task. Those behind the one that hangs hear that the replica
// stops, and it executes no more than a bounded number of them.
func TestStopInTheMidstOfManyOperations(t *testing.T) {
	run(t, 1, -1, func(t *testing.T, c *cluster) {
		const many, few = 1000, 64
		id := c.leader()
		gate := make(chan struct{})
		c.machines[id].hold(gate)
		outcomes := make(chan error, many)
		for range many {
			c.nodes[id].SubmitFunc(1, func(_ int64, err error) { outcomes <- err })
		}
		time.Sleep(100 * time.Millisecond)
		n := c.nodes[id]
		stopped := make(chan struct{})
		go func() { n.Stop(); close(stopped) }()
		synctest.Wait()
		if got := len(outcomes); got < many-few {
			t.Errorf("%d of %d have heard that the replica stops", got, many)
		}
		close(gate)
		<-stopped
		for range many {
			if err := <-outcomes; err != nil && !errors.Is(err, rsm.ErrStopped) {
				t.Errorf("one ends with %v", err)
			}
		}
		if got := c.machines[id].get(); got > few {
			t.Errorf("%d operations were executed after Stop was called", got)
		}
	})
}
