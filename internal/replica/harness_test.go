package replica_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/check/memnet"
	"balsa.example/internal/replica"
	"balsa.example/raft"
	"balsa.example/state"
)

// options say what a cluster is made of.
type options struct {
	servers      int
	seed         uint64
	maxRaftState int64 // rsm.Config's
	segmentSize  int64 // of the log, in bytes
	runBytes     int64 // of the files of the history; with it, none of them is in memory
	slowDisks    bool  // writes take anything up to longSaveTime
	maxIndex     int64 // memory of the index, in bytes
	// gently is state.Config's, and gets the server.
	gently func(id raft.NodeID, f func())
}

// cluster is a set of servers on a network in memory, each with a real log on a file system
// in memory. All of it lives in a bubble of virtual time, and t.Fatal is for the bubble's
// first goroutine. A test can stop and restart each server, take its power, slow its disk
// down, and let it read no messages.
type cluster struct {
	options
	t         testing.TB
	net       *memnet.Network
	ids       []raft.NodeID
	random    *rand.Rand // for the first goroutine alone
	starts    uint64
	snapshots atomic.Int64 // sent to another server, and arrived

	lowSpace atomic.Bool // what all servers are told of their disks

	mu      sync.Mutex
	servers map[raft.NodeID]*member
	// versions has what commands the program of a server knows, as state.Config has it. Nil: the version of
	// the cluster is never raised.
	versions map[raft.NodeID]uint64
}

// member is one server, from one start to the next.
type member struct {
	disk     *disk // the same after a restart
	storage  *hookedLog
	state    *stateDisk
	receiver *heldReceiver
	end      *memnet.Endpoint
	replica  *replica.Replica // nil while the server is down
}

// newCluster makes the disks of all servers, and starts none.
func newCluster(t testing.TB, o options) *cluster {
	c := &cluster{
		options: o, t: t, net: memnet.New(o.seed),
		random: rand.New(rand.NewPCG(o.seed, 3)), servers: map[raft.NodeID]*member{},
	}
	for id := raft.NodeID(1); id <= raft.NodeID(o.servers); id++ {
		c.ids = append(c.ids, id)
	}
	for _, id := range c.ids {
		d, err := newDisk(id, raft.NewConfiguration(c.ids...), o.segmentSize, o.slowDisks, o.seed)
		if err != nil {
			t.Fatal(err)
		}
		c.servers[id] = &member{disk: d}
	}
	return c
}

func (c *cluster) start(ids ...raft.NodeID) {
	c.t.Helper()
	for _, id := range ids {
		if err := c.tryStart(id); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cluster) tryStart(id raft.NodeID) error {
	c.starts++
	m := &member{disk: c.server(id).disk, end: c.net.Node(id)}
	log, err := m.disk.open()
	if err != nil {
		return fmt.Errorf("open the log of server %s: %w", id, err)
	}
	m.storage = &hookedLog{slowLog: log, t: c.t}
	m.state = &stateDisk{log: m.storage, plug: m.disk.plug}
	cfg := replica.Config{
		ID: id, Log: m.storage, State: state.Config{FS: crashfs.Inject(m.disk.mem, m.state), Dir: stateDir, Cluster: 1}, Transport: &transport{m.end, &c.snapshots}, MaxRaftState: c.maxRaftState, Seed: c.seed + c.starts,
		LowSpace: c.lowSpace.Load, MaxIndexBytes: c.maxIndex,
		Leader: func(leader raft.NodeID) *api.Leader {
			return &api.Leader{NodeId: uint64(leader), ClientUrls: []string{"http://" + address(leader)}}
		},
	}
	if c.runBytes > 0 {
		cfg.State.RunBytes, cfg.State.CacheBytes = c.runBytes, -1
	}
	if c.gently != nil {
		cfg.State.Gently = func(f func()) { c.gently(id, f) }
	}
	if os.Getenv("BALSA_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if c.versions != nil {
		cfg.State.Version, cfg.KnownVersion = c.versions[id], c.knownVersion
	}
	if m.replica, err = replica.New(context.Background(), cfg); err != nil {
		return fmt.Errorf("start server %s: %w", id, errors.Join(err, log.Close()))
	}
	m.receiver = &heldReceiver{Receiver: m.replica.Node, released: make(chan struct{})}
	c.mu.Lock()
	c.servers[id] = m
	c.mu.Unlock()
	m.end.Start(m.receiver)
	return nil
}

// knownVersion is what a server that runs would say of itself.
func (c *cluster) knownVersion(id raft.NodeID) (version uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.versions[id], state.Version), c.servers[id].replica != nil
}

// server returns a server as it runs now, or as it ran last.
func (c *cluster) server(id raft.NodeID) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.servers[id]
}

// running returns the servers that are up.
func (c *cluster) running() map[raft.NodeID]*replica.Replica {
	c.mu.Lock()
	defer c.mu.Unlock()
	up := map[raft.NodeID]*replica.Replica{}
	for id, m := range c.servers {
		if m.replica != nil {
			up[id] = m.replica
		}
	}
	return up
}

// replicas lists the servers that are up, in order.
func (c *cluster) replicas() (all []*replica.Replica) {
	up := c.running()
	for _, id := range c.ids {
		if r := up[id]; r != nil {
			all = append(all, r)
		}
	}
	return all
}

// setDown notes that a server is down, and returns its replica; nil if it was down before.
func (c *cluster) setDown(id raft.NodeID) *replica.Replica {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.servers[id]
	r := m.replica
	m.replica = nil
	return r
}

// off closes the disk of a server that has stopped: nothing may use it any more. With crash
// the disk then loses what was not synced.
func (c *cluster) off(id raft.NodeID, crash bool) {
	m := c.server(id)
	if c.setDown(id) == nil {
		return
	}
	m.storage.closed.Store(true)
	if crash {
		m.disk.crash()
		return
	}
	if err := m.disk.log.Close(); err != nil {
		c.t.Errorf("close the log of server %s: %v", id, err)
	}
}

// stop ends a server, if it runs, as an operator does.
func (c *cluster) stop(id raft.NodeID) {
	m := c.server(id)
	if m.replica == nil {
		return
	}
	m.end.Stop()
	m.replica.Stop()
	if err := m.replica.Node.Err(); err != nil {
		c.t.Errorf("server %s failed: %v", id, err)
	}
	c.off(id, false)
}

// kill ends a server, if it runs, as a power failure does. Clients find it down at once.
func (c *cluster) kill(id raft.NodeID) {
	m := c.server(id)
	r := c.setDown(id)
	if r == nil {
		return
	}
	m.end.Stop()
	r.Stop()
	select {
	case <-m.disk.plug.pulled:
	default:
		if err := r.Node.Err(); err != nil {
			c.t.Errorf("server %s failed: %v", id, err)
		}
	}
	m.storage.closed.Store(true)
	m.disk.crash()
}

// killAll takes the power of all servers: at the same moment, or else of each in the midst
// of one of its next writes.
func (c *cluster) killAll(atOnce bool) {
	var wg sync.WaitGroup
	for _, id := range c.ids {
		wg.Go(func() {
			p := c.server(id).disk.plug
			if atOnce {
				p.pull()
			} else {
				p.pullSoon()
			}
			select {
			case <-p.pulled:
			case <-time.After(100 * time.Millisecond): // two heartbeats: it need not write
			}
			c.kill(id)
		})
	}
	wg.Wait()
}

// close ends everything, so that the bubble can end, too.
func (c *cluster) close() {
	for _, id := range c.ids {
		if m := c.server(id); m.receiver != nil {
			m.receiver.release()
		}
		c.stop(id)
	}
	c.net.Close()
}

// leader waits until one of the servers leads, and the others know it.
func (c *cluster) leader() raft.NodeID {
	c.t.Helper()
	for range 1000 {
		up, seen := c.running(), map[raft.NodeID]int{}
		for _, r := range up {
			seen[r.Node.Status().Leader]++
		}
		for id, n := range seen {
			if r := up[id]; r != nil && n > len(c.ids)/2 && r.Node.Leads() {
				return id
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("nobody leads for 10 s")
	return raft.None
}

// others returns all servers but some.
func (c *cluster) others(some ...raft.NodeID) []raft.NodeID {
	return slices.DeleteFunc(slices.Clone(c.ids), func(id raft.NodeID) bool { return slices.Contains(some, id) })
}

// fresh waits until a server's store has all that any server has acknowledged.
func (c *cluster) fresh(id raft.NodeID) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	code := fmt.Stringer(api.Reply_UNKNOWN)
	for ctx.Err() == nil {
		reply, err := c.server(id).replica.Do(ctx, &api.Request{Kind: api.Request_GET, Key: []byte("any")})
		if err != nil {
			break
		}
		if code = reply.Code; code == api.Reply_OK || code == api.Reply_NO_KEY {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Errorf("server %s answers no read in 10 s, last was %s", id, code)
}

// converge waits until all servers hold the same state.
func (c *cluster) converge() {
	c.t.Helper()
	leader := c.leader()
	for _, id := range c.ids {
		c.fresh(id)
	}
	for _, id := range c.others(leader) {
		a, b := c.server(leader).replica.State, c.server(id).replica.State
		for range 100 { // time goes on in the log for a moment
			if a.Hash() == b.Hash() {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if a.Revision() != b.Revision() || a.Hash() != b.Hash() {
			c.t.Errorf("server %s is at revision %d, hash %x; the leader at %d, %x", id, b.Revision(), b.Hash(), a.Revision(), a.Hash())
		}
	}
}

// transport counts the snapshots that arrived.
type transport struct {
	*memnet.Endpoint
	arrived *atomic.Int64
}

func (t *transport) SendSnapshot(ctx context.Context, m *raft.InstallSnapshot, data io.Reader) error {
	err := t.Endpoint.SendSnapshot(ctx, m, data)
	if err == nil {
		t.arrived.Add(1)
	}
	return err
}
