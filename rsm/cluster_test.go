package rsm_test

import (
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// counter is the state machine of the seed's part A: an integer, and operations
// that add to it and return the sum.
type counter struct {
	mu       sync.Mutex // for get; everything else is one goroutine's
	n        int64
	executed int
	restored int // how often
	gate     <-chan struct{}
}

// hold lets the next operations wait until the gate is open.
func (c *counter) hold(gate <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gate = gate
}

func (c *counter) DoOp(add int64) int64 {
	c.mu.Lock()
	if gate := c.gate; gate != nil {
		c.mu.Unlock()
		<-gate
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	c.executed++
	c.n += add
	return c.n
}

func (c *counter) get() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Hash makes the counter a Hasher.
func (c *counter) Hash() uint64 { return uint64(c.get()) }

// err adds to the integer by mistake.
func (c *counter) err(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
}

type image int64

func (c *counter) Snapshot() (io.WriterTo, error) { return image(c.get()), nil }

func (i image) WriteTo(w io.Writer) (int64, error) { return 8, gob.NewEncoder(w).Encode(int64(i)) }

func (c *counter) Restore(r io.Reader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restored++
	return gob.NewDecoder(r).Decode(&c.n)
}

type codec struct{}

func (codec) Append(dst []byte, add int64) []byte { return binary.AppendVarint(dst, add) }

func (codec) Decode(b []byte) (int64, error) {
	add, n := binary.Varint(b)
	if n <= 0 {
		return 0, fmt.Errorf("bad increment %x", b)
	}
	return add, nil
}

// slowDisk is a MemoryStorage on which a write takes time, without which virtual
// time would not move. It fails when told to.
type slowDisk struct {
	*rsm.MemoryStorage
	mu   sync.Mutex
	err  error
	hang <-chan struct{} // not nil: no Save ends before it is closed
	// snapshot, if not nil, is called by SaveSnapshot before anything else.
	snapshot func(raft.SnapshotMeta)
}

func (d *slowDisk) SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	if d.snapshot != nil {
		d.snapshot(meta)
	}
	return d.MemoryStorage.SaveSnapshot(meta, write)
}

func (d *slowDisk) Save(ps []raft.Persist) error {
	time.Sleep(200 * time.Microsecond)
	d.mu.Lock()
	err, hang := d.err, d.hang
	d.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if err != nil {
		return err
	}
	return d.MemoryStorage.Save(ps)
}

// hangs lets no Save end from now on, until repair is called.
func (d *slowDisk) hangs() (repair func()) {
	hang := make(chan struct{})
	d.mu.Lock()
	d.hang = hang
	d.mu.Unlock()
	return func() {
		d.mu.Lock()
		d.hang = nil
		d.mu.Unlock()
		close(hang)
	}
}

type node = rsm.Node[int64, int64]

// cluster is a set of replicas on a network in memory.
type cluster struct {
	t            *testing.T
	net          *memnet.Network
	ids          []raft.NodeID
	disks        map[raft.NodeID]*slowDisk
	nodes        map[raft.NodeID]*node
	machines     map[raft.NodeID]*counter
	ends         map[raft.NodeID]*memnet.Endpoint
	witnesses    map[raft.NodeID]bool
	maxRaftState int64
	leases       bool
	settings     func(*rsm.Config[int64, int64]) // of one replica, if not nil
	receiver     func(*node) rsm.Receiver        // in front of one that starts, if not nil
	suspended    map[raft.NodeID]*atomic.Int64   // how long machines were, in ns
	began        time.Time
	ops          int
}

// run makes a cluster of n in a bubble of virtual time, and prints the seed's
// closing line when f is through.
func run(t *testing.T, n int, maxRaftState int64, f func(t *testing.T, c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{
			t: t, net: memnet.New(uint64(n)), maxRaftState: maxRaftState, began: time.Now(),
			disks: map[raft.NodeID]*slowDisk{}, nodes: map[raft.NodeID]*node{},
			machines: map[raft.NodeID]*counter{}, ends: map[raft.NodeID]*memnet.Endpoint{}, suspended: map[raft.NodeID]*atomic.Int64{},
		}
		defer c.net.Close()
		for id := raft.NodeID(1); id <= raft.NodeID(n); id++ {
			c.ids = append(c.ids, id)
		}
		for _, id := range c.ids {
			c.suspend(id)
			c.disks[id] = &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(c.ids...))}
			c.start(id)
		}
		f(t, c)
		for _, id := range c.ids {
			c.stop(id)
		}
		t.Logf("  ... Passed -- %5.1f %2d %5d %4d", time.Since(c.began).Seconds(), n, c.net.Counts().Requests, c.ops)
	})
}

// suspend makes the clock of a machine that was never suspended.
func (c *cluster) suspend(id raft.NodeID) { c.suspended[id] = new(atomic.Int64) }

func (c *cluster) start(id raft.NodeID) {
	end, machine, suspended := c.net.Node(id), &counter{}, c.suspended[id]
	cfg := rsm.Config[int64, int64]{
		ID: id, Machine: machine, Codec: codec{}, Log: c.disks[id], Snapshots: c.disks[id], Transport: end,
		MaxRaftState: c.maxRaftState, Seed: uint64(id), LeaseReads: c.leases,
		Clock: func() time.Duration { return time.Since(c.began) + time.Duration(suspended.Load()) },
	}
	if c.settings != nil {
		c.settings(&cfg)
	}
	if os.Getenv("BALSA_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	n, err := rsm.Start(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.receiver != nil {
		end.Start(c.receiver(n))
	} else {
		end.Start(n)
	}
	c.nodes[id], c.machines[id], c.ends[id] = n, machine, end
}

// stop ends a replica if it runs.
func (c *cluster) stop(id raft.NodeID) {
	if n := c.nodes[id]; n != nil {
		c.ends[id].Stop()
		n.Stop()
		delete(c.nodes, id)
	}
}

// leaseholder restarts all with leases, and returns a leader that holds one.
func (c *cluster) leaseholder() raft.NodeID {
	c.t.Helper()
	c.leases = true
	c.restartAll()
	leader := c.leader()
	c.incAt(leader)
	time.Sleep(100 * time.Millisecond) // rounds of heartbeats
	return leader
}

func (c *cluster) restartAll() {
	for _, id := range c.ids {
		c.stop(id)
	}
	for _, id := range c.ids {
		c.start(id)
	}
}

// leader waits until exactly one of the running replicas among ids (all, if none
// is named) leads the latest term.
func (c *cluster) leader(among ...raft.NodeID) raft.NodeID {
	c.t.Helper()
	if len(among) == 0 {
		among = c.ids
	}
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		var leader raft.NodeID
		var term raft.Term
		for _, id := range among {
			if n := c.nodes[id]; n != nil {
				if s := n.Status(); s.Role == raft.Leader && s.Term > term {
					leader, term = id, s.Term
				}
			}
		}
		if leader != raft.None {
			return leader
		}
	}
	c.t.Fatal("no leader after 10 s")
	return raft.None
}

// inc increments through whoever leads, and returns the counter.
func (c *cluster) inc() int64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		for _, id := range c.ids {
			n := c.nodes[id]
			if n == nil {
				continue
			}
			got, err := n.Submit(ctx, 1)
			if err == nil {
				c.ops++
				return got
			}
			if !errors.Is(err, rsm.ErrWrongLeader) && !errors.Is(err, rsm.ErrBusy) && !errors.Is(err, rsm.ErrWitness) {
				c.t.Fatalf("submit at %s: %v", id, err)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Fatal("no agreement in 10 s")
	return 0
}

// everywhere waits until all running replicas hold want.
func (c *cluster) everywhere(want int64) {
	c.t.Helper()
	var got map[raft.NodeID]int64
	for range 100 {
		got = map[raft.NodeID]int64{}
		same := true
		for id := range c.nodes {
			got[id] = c.machines[id].get()
			same = same && got[id] == want
		}
		if same {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Fatalf("replicas hold %v, want %d", got, want)
}
