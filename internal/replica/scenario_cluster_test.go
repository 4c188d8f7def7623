package replica_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/internal/check/history"
	"balsa.example/internal/check/memnet"
	"balsa.example/internal/replica"
	"balsa.example/raft"
)

// outage is how long servers stay down, and the least time for which a partition
// lasts: enough for an election.
const outage = time.Second

// cluster is a set of servers on a network in memory. All of it lives in a bubble of
// virtual time, and t.Fatal is for the bubble's first goroutine.
type cluster struct {
	t            testing.TB
	seed         uint64
	net          *memnet.Network
	ids          []raft.NodeID
	maxRaftState int64
	began        time.Time
	time         time.Duration // that it lived
	history      *history.History
	ctx          context.Context // ends with the cluster
	cancel       context.CancelFunc
	watcher      sync.WaitGroup
	clients      sync.WaitGroup

	mu        sync.Mutex
	servers   map[raft.NodeID]*member
	leaders   map[raft.Term]raft.NodeID  // all that were seen
	snapshots map[raft.NodeID]raft.Index // the newest that were seen
	seen      figures
	sent      atomic.Int64 // snapshots that arrived

	crashes, partitions int // the first goroutine's, or that of the partitioner
}

// member is one server: its disk, and what runs on it.
type member struct {
	disk    *disk
	storage *slowLog
	replica *replica.Replica // nil while the server is down
	end     *memnet.Endpoint // as long as replica
}

// figures are the largest that were seen of any server, in bytes.
type figures struct {
	logBytes    int64 // the replica's own figure
	storedBytes int64 // what is in live segments
	restBytes   int64 // the same, when all servers had converged
}

func newCluster(t testing.TB, s scenario, seed uint64) *cluster {
	c := &cluster{
		t: t, seed: seed, net: memnet.New(seed), maxRaftState: -1,
		began: time.Now(), history: history.New(),
		servers: map[raft.NodeID]*member{}, leaders: map[raft.Term]raft.NodeID{},
		snapshots: map[raft.NodeID]raft.Index{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for id := raft.NodeID(1); id <= raft.NodeID(s.servers); id++ {
		c.ids = append(c.ids, id)
	}
	segmentSize := int64(64 << 10)
	if s.snapshots {
		c.maxRaftState = maxRaftState
		segmentSize = maxRaftState
	}
	for _, id := range c.ids {
		d, err := newDisk(id, raft.NewConfiguration(c.ids...), segmentSize, s.restarts, seed)
		if err != nil {
			t.Fatal(err)
		}
		c.servers[id] = &member{disk: d}
	}
	c.start(c.ids...)
	c.watcher.Go(c.watch)
	return c
}

// close ends everything, clients included, so that the bubble can end, too.
func (c *cluster) close() {
	c.cancel()
	c.watcher.Wait()
	c.clients.Wait()
	for _, id := range c.ids {
		c.stop(id)
	}
	c.net.Close()
}

func (c *cluster) start(ids ...raft.NodeID) {
	c.t.Helper()
	for _, id := range ids {
		m := c.servers[id]
		storage, err := m.disk.open()
		if err != nil {
			c.t.Fatalf("open the log of server %s: %v", id, err)
		}
		end := c.net.Node(id)
		cfg := replica.Config{
			ID: id, Storage: storage, Transport: &transport{end, &c.sent},
			MaxRaftState: c.maxRaftState, Seed: c.seed + uint64(c.crashes),
			Leader: func(leader raft.NodeID) *api.Leader {
				return &api.Leader{NodeId: uint64(leader), ClientUrls: []string{"http://" + address(leader)}}
			},
		}
		if os.Getenv("BALSA_TEST_LOG") != "" {
			cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
		}
		replica, err := replica.New(cfg)
		if err != nil {
			c.t.Fatalf("start server %s: %v", id, err)
		}
		c.mu.Lock()
		m.storage, m.end, m.replica = storage, end, replica
		c.mu.Unlock()
		end.Start(replica.Node)
	}
}

// stop ends a server, if it runs, as a crash does.
func (c *cluster) stop(id raft.NodeID) {
	c.mu.Lock()
	m := c.servers[id]
	replica := m.replica
	m.replica = nil
	c.mu.Unlock()
	if replica == nil {
		return
	}
	m.end.Stop()
	replica.Stop()
	select {
	case <-m.disk.plug.pulled:
	default:
		if err := replica.Node.Err(); err != nil {
			c.t.Errorf("server %s failed: %v", id, err)
		}
	}
	m.disk.crash()
}

// crash lets the power of all servers fail: at the same moment, or else of each in the
// midst of one of its next writes.
func (c *cluster) crash(atOnce bool) {
	var wg sync.WaitGroup
	for _, id := range c.ids {
		wg.Go(func() {
			p := c.servers[id].disk.plug
			if atOnce {
				p.pull()
			} else {
				p.pullSoon()
			}
			select {
			case <-p.pulled:
			case <-time.After(100 * time.Millisecond): // two heartbeats: it need not write
			}
			c.stop(id)
		})
	}
	wg.Wait()
	c.crashes += len(c.ids)
}

// transport counts the snapshots that arrived.
type transport struct {
	*memnet.Endpoint
	sent *atomic.Int64
}

func (t *transport) SendSnapshot(ctx context.Context, m *raft.InstallSnapshot, data io.Reader) error {
	err := t.Endpoint.SendSnapshot(ctx, m, data)
	if err == nil {
		t.sent.Add(1)
	}
	return err
}

// serve answers a request at a server.
func (c *cluster) serve(ctx context.Context, id raft.NodeID, req *api.Request) (*api.Reply, error) {
	c.mu.Lock()
	r := c.servers[id].replica
	c.mu.Unlock()
	if r == nil {
		return nil, memnet.ErrLost
	}
	return r.Do(ctx, req)
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

// watch looks at all servers again and again, until the end.
func (c *cluster) watch() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
			c.look()
		}
	}
}

func (c *cluster) look() {
	for id, r := range c.running() {
		s := r.Node.Status()
		c.mu.Lock()
		if s.Role == raft.Leader {
			if other, ok := c.leaders[s.Term]; ok && other != id {
				c.t.Errorf("servers %s and %s both lead term %d", id, other, s.Term)
			}
			c.leaders[s.Term] = id
		}
		if s.Snapshot.Index > 0 {
			c.snapshots[id] = s.Snapshot.Index
		}
		c.seen.logBytes = max(c.seen.logBytes, s.LogBytes)
		c.seen.storedBytes = max(c.seen.storedBytes, c.servers[id].storage.Stats().LogBytes)
		c.mu.Unlock()
	}
}

// leader waits until one of the servers leads a later term than the one given.
func (c *cluster) leader(after raft.Term) (raft.NodeID, raft.Term) {
	for range 1000 {
		if c.ctx.Err() != nil {
			break
		}
		c.mu.Lock()
		terms := slices.Sorted(maps.Keys(c.leaders))
		if n := len(terms); n > 0 && terms[n-1] > after {
			term := terms[n-1]
			id := c.leaders[term]
			c.mu.Unlock()
			return id, term
		}
		c.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Errorf("no leader of a term after %d in 20 s", after)
	return c.ids[0], after
}

// converge waits until all servers hold the same state.
func (c *cluster) converge() {
	c.t.Helper()
	c.net.Heal()
	c.net.Reliable(true)
	var state map[raft.NodeID]string
	for range 500 {
		state = map[raft.NodeID]string{}
		distinct := map[string]bool{}
		for id, r := range c.running() {
			s := r.Node.Status()
			state[id] = fmt.Sprintf("applied %d revision %d hash %016x", s.Applied, r.Store.Revision(), r.Store.Hash())
			distinct[state[id]] = true
		}
		if len(state) == len(c.ids) && len(distinct) == 1 {
			c.look() // the last leader may be new
			for _, m := range c.servers {
				c.seen.restBytes = max(c.seen.restBytes, m.storage.Stats().LogBytes)
			}
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Errorf("servers differ 10 s after the last fault: %v", state)
}

// others returns all servers but some.
func (c *cluster) others(some ...raft.NodeID) []raft.NodeID {
	return slices.DeleteFunc(slices.Clone(c.ids), func(id raft.NodeID) bool { return slices.Contains(some, id) })
}
