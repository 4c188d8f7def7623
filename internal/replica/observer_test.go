package replica_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/internal/check/history"
	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
)

// outage is how long servers stay down, and the least time for which a partition
// lasts: enough for an election.
const outage = time.Second

// scenarioRun is a cluster with clients whose history is checked, and a goroutine that
// observes the servers.
type scenarioRun struct {
	*cluster
	began   time.Time
	took    time.Duration // from the start of the servers to the end
	history *history.History
	ctx     context.Context // ends with the cluster
	cancel  context.CancelFunc
	watcher sync.WaitGroup
	clients sync.WaitGroup

	// Guarded by cluster.mu.
	leaders    map[raft.Term]raft.NodeID  // all that were seen
	snapshotAt map[raft.NodeID]raft.Index // the newest snapshots that were seen
	seen       figures

	crashes, partitions int // for the first goroutine, or that of the partitioner
}

// figures are the largest that were seen of any server, in bytes.
type figures struct {
	logBytes    int64 // the replica's own figure
	storedBytes int64 // what is in live segments
	restBytes   int64 // the same, when all servers had converged
}

// startScenario starts the servers of a scenario.
func startScenario(t testing.TB, s scenario, seed uint64) *scenarioRun {
	o := options{servers: s.servers, seed: seed, maxRaftState: -1, segmentSize: 64 << 10, slowDisks: s.restarts}
	if s.snapshots {
		o.maxRaftState, o.segmentSize = maxRaftState, maxRaftState
	}
	c := &scenarioRun{
		cluster: newCluster(t, o), began: time.Now(), history: history.New(),
		leaders: map[raft.Term]raft.NodeID{}, snapshotAt: map[raft.NodeID]raft.Index{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.start(c.ids...)
	c.watcher.Go(c.watch)
	return c
}

// close ends everything, clients included.
func (c *scenarioRun) close() {
	c.cancel()
	c.watcher.Wait()
	c.clients.Wait()
	for _, id := range c.ids {
		c.kill(id)
	}
	c.cluster.close()
}

// serve answers a request at a server.
func (c *scenarioRun) serve(ctx context.Context, id raft.NodeID, req *api.Request) (*api.Reply, error) {
	r := c.running()[id]
	if r == nil {
		return nil, memnet.ErrLost
	}
	return r.Do(ctx, req)
}

// watch looks at all servers again and again, until the end.
func (c *scenarioRun) watch() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
			c.look()
		}
	}
}

func (c *scenarioRun) look() {
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
			c.snapshotAt[id] = s.Snapshot.Index
		}
		c.seen.logBytes = max(c.seen.logBytes, s.LogBytes)
		c.seen.storedBytes = max(c.seen.storedBytes, c.servers[id].storage.Stats().LogBytes)
		c.mu.Unlock()
	}
}

// leaderAfter waits until one of the servers leads a later term than the one given.
func (c *scenarioRun) leaderAfter(after raft.Term) (raft.NodeID, raft.Term) {
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

// awaitSameState waits, after the last fault, until all servers hold the same state.
func (c *scenarioRun) awaitSameState() {
	c.t.Helper()
	c.net.Heal()
	c.net.Reliable(true)
	var state map[raft.NodeID]string
	for range 500 {
		state = map[raft.NodeID]string{}
		distinct := map[string]bool{}
		for id, r := range c.running() {
			s := r.Node.Status()
			state[id] = fmt.Sprintf("applied %d revision %d hash %016x", s.Applied, r.State.Revision(), r.State.Hash())
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
