package replica_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/internal/check/memnet"
	"balsa.example/internal/replica"
	"balsa.example/raft"
)

// trio is three servers in a bubble of virtual time, whose disks and receivers a test can
// hold up, and which it asks without any Clerk between.
type trio struct {
	t            testing.TB
	seed         uint64
	net          *memnet.Network
	ids          []raft.NodeID
	maxRaftState int64
	random       *rand.Rand // the first goroutine's
	starts       uint64

	mu      sync.Mutex
	servers map[raft.NodeID]*held
}

// held is one server of a trio, which can be held up.
type held struct {
	disk     *disk
	storage  *heldLog
	receiver *heldReceiver
	end      *memnet.Endpoint
	replica  *replica.Replica // nil while the server is down
}

// newTrio makes the disks of three servers, and starts none.
func newTrio(t testing.TB, seed uint64, maxRaftState, segmentSize int64) *trio {
	c := &trio{
		t: t, seed: seed, net: memnet.New(seed), ids: []raft.NodeID{1, 2, 3}, maxRaftState: maxRaftState,
		random: rand.New(rand.NewPCG(seed, 3)), servers: map[raft.NodeID]*held{},
	}
	for _, id := range c.ids {
		d, err := newDisk(id, raft.NewConfiguration(c.ids...), segmentSize, false, seed)
		if err != nil {
			t.Fatal(err)
		}
		c.servers[id] = &held{disk: d}
	}
	return c
}

func (c *trio) start(ids ...raft.NodeID) {
	c.t.Helper()
	for _, id := range ids {
		c.starts++
		m := &held{disk: c.servers[id].disk, end: c.net.Node(id)}
		log, err := m.disk.open()
		if err != nil {
			c.t.Fatalf("open the log of server %s: %v", id, err)
		}
		m.storage = &heldLog{slowLog: log, t: c.t}
		m.replica, err = replica.New(replica.Config{
			ID: id, Storage: m.storage, Transport: m.end, MaxRaftState: c.maxRaftState, Seed: c.seed + c.starts,
		})
		if err != nil {
			c.t.Fatalf("start server %s: %v", id, err)
		}
		m.receiver = &heldReceiver{Receiver: m.replica.Node, released: make(chan struct{})}
		c.mu.Lock()
		c.servers[id] = m
		c.mu.Unlock()
		m.end.Start(m.receiver)
	}
}

// server returns a server as it runs now, or as it ran last.
func (c *trio) server(id raft.NodeID) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.servers[id]
}

// off takes note that the server has stopped: nothing may use its disk any more. With
// crash the disk then loses what was not synced.
func (c *trio) off(id raft.NodeID, crash bool) {
	c.mu.Lock()
	m := c.servers[id]
	running := m.replica != nil
	m.replica = nil
	c.mu.Unlock()
	if !running {
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
func (c *trio) stop(id raft.NodeID) {
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

// close ends everything, so that the bubble can end, too.
func (c *trio) close() {
	for _, id := range c.ids {
		c.server(id).receiver.release()
		c.stop(id)
	}
	c.net.Close()
}

// leader waits until one of the servers leads, and the others know it.
func (c *trio) leader() raft.NodeID {
	c.t.Helper()
	for range 1000 {
		seen := map[raft.NodeID]int{}
		for _, id := range c.ids {
			if r := c.server(id).replica; r != nil {
				seen[r.Node.Status().Leader]++
			}
		}
		for id, n := range seen {
			if id != raft.None && n > len(c.ids)/2 && c.server(id).replica.Node.Leads() {
				return id
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("nobody leads for 10 s")
	return raft.None
}

// others returns the servers but one.
func (c *trio) others(one raft.NodeID) (others []raft.NodeID) {
	for _, id := range c.ids {
		if id != one {
			others = append(others, id)
		}
	}
	return others
}

// fresh waits until a server's store has all that any server has acknowledged.
func (c *trio) fresh(id raft.NodeID) {
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
func (c *trio) converge() {
	c.t.Helper()
	leader := c.leader()
	for _, id := range c.ids {
		c.fresh(id)
	}
	for _, id := range c.others(leader) {
		a, b := c.server(leader).replica.Store, c.server(id).replica.Store
		if a.Revision() != b.Revision() || a.Hash() != b.Hash() {
			c.t.Errorf("server %s is at revision %d, hash %x; the leader at %d, %x", id, b.Revision(), b.Hash(), a.Revision(), a.Hash())
		}
	}
}

// heldLog is the log of a server on a disk that can be slow, or hang. Its hooks, nil at
// first, run before what they are named for.
type heldLog struct {
	*slowLog
	t            testing.TB
	save         atomic.Pointer[func()]
	saveSnapshot atomic.Pointer[func()]
	openSnapshot atomic.Pointer[func()]
	closed       atomic.Bool
}

func (l *heldLog) enter(what string, hook *atomic.Pointer[func()]) {
	if l.closed.Load() {
		l.t.Errorf("%s after the server had stopped", what)
	}
	if f := hook.Load(); f != nil {
		(*f)()
	}
}

func (l *heldLog) Save(ps []raft.Persist) error {
	l.enter("Save", &l.save)
	return l.slowLog.Save(ps)
}

func (l *heldLog) SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	l.enter("SaveSnapshot", &l.saveSnapshot)
	return l.slowLog.SaveSnapshot(meta, write)
}

func (l *heldLog) OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error) {
	l.enter("OpenSnapshot", &l.openSnapshot)
	return l.slowLog.OpenSnapshot()
}

// heldReceiver is a server that may stop reading: what arrives then waits at its door.
type heldReceiver struct {
	memnet.Receiver

	mu       sync.Mutex
	holds    bool
	messages []raft.Message
	released chan struct{} // closed when it reads again
	streams  atomic.Int64  // snapshots at the door
}

func (r *heldReceiver) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds, r.released = true, make(chan struct{})
}

func (r *heldReceiver) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.holds {
		return
	}
	for _, m := range r.messages {
		r.Receiver.Receive(m)
	}
	r.holds, r.messages = false, nil
	close(r.released)
}

// waiting is what is at the door: messages with entries, and the bytes of these.
func (r *heldReceiver) waiting() (appends, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.messages {
		if m, ok := m.(*raft.AppendEntries); ok && len(m.Entries) > 0 {
			appends++
			for _, e := range m.Entries {
				bytes += len(e.Data)
			}
		}
	}
	return appends, bytes
}

func (r *heldReceiver) Receive(m raft.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holds {
		r.messages = append(r.messages, m)
		return
	}
	r.Receiver.Receive(m)
}

func (r *heldReceiver) ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	r.mu.Lock()
	holds, released := r.holds, r.released
	r.mu.Unlock()
	if holds {
		r.streams.Add(1)
		<-released
		r.streams.Add(-1)
	}
	return r.Receiver.ReceiveSnapshot(m, data)
}
