package replica_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/raft"
	"balsa.example/state"
)

// load puts keys at whatever server leads, until stop is called. It returns how many were acknowledged.
func (c *cluster) load() (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	done := 0
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			for _, r := range c.replicas() {
				if !r.Node.Leads() {
					continue
				}
				key := fmt.Append(nil, "key ", i%100)
				reply, err := r.Do(ctx, &api.Request{Kind: api.Request_PUT, Key: key, Value: fmt.Append(nil, i), Unconditional: true})
				if err == nil && reply.Code == api.Reply_OK {
					done++
				}
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	return func() int {
		cancel()
		wg.Wait()
		return done
	}
}

// TestTwoVersionsInOneCluster: a server of an older program and two of a newer one, under load. The newer ones use
// no command and no file that the older one does not know, whoever leads, until it is upgraded. From then
// on they do, and the older program is refused.
func TestTwoVersionsInOneCluster(t *testing.T) {
	for _, before := range []uint64{1, state.Version - 1} {
		t.Run(fmt.Sprint("version ", before), func(t *testing.T) { twoVersions(t, before) })
	}
}

func twoVersions(t *testing.T, before uint64) {
	synctest.Test(t, func(t *testing.T) {
		const older = raft.NodeID(3)
		c := newCluster(t, options{servers: 3, seed: 1, maxRaftState: 4 << 10, segmentSize: 8 << 10})
		defer c.close()
		c.versions = map[raft.NodeID]uint64{older: before}
		c.start(c.ids...)
		c.leader()
		stop := c.load()
		for _, id := range c.ids { // each lags behind so far that it gets the state of another one
			arrived := c.snapshots.Load()
			c.stop(id)
			time.Sleep(5 * time.Second)
			c.start(id)
			for range 500 {
				if c.snapshots.Load() > arrived {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if c.snapshots.Load() == arrived {
				t.Errorf("server %s was sent no state", id)
			}
			lead(t, c, id)
			time.Sleep(2 * time.Second)
		}
		if n := stop(); n < 1000 {
			t.Errorf("%d writes", n)
		}
		c.converge()
		c.wantVersion(t, before)

		stop = c.load()
		c.stop(older)
		c.setVersion(older, 0)
		time.Sleep(2 * time.Second)
		c.wantVersion(t, before) // it may come back as it was
		c.start(older)
		time.Sleep(5 * time.Second)
		c.wantVersion(t, state.Version)
		if n := stop(); n < 500 {
			t.Errorf("%d writes", n)
		}
		c.converge()

		c.server(older).replica.Node.Checkpoint()
		time.Sleep(time.Second)
		c.stop(older)
		c.setVersion(older, before)
		if err := c.tryStart(older); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the cluster uses commands of version %d", state.Version)) {
			t.Errorf("the older program: %v", err)
		}
	})
}

// TestAnUnknownCommandStopsAServer that is of an older program, before it could differ from the others.
func TestAnUnknownCommandStopsAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const older = raft.NodeID(3)
		c := newCluster(t, options{servers: 3, seed: 1})
		defer c.close()
		c.versions = map[raft.NodeID]uint64{}
		c.start(c.ids...)
		c.leader()
		c.stop(older)
		c.setVersion(older, 1)
		c.start(older) // as one that was downgraded while nobody looked: the leader believes what it heard before
		c.setVersion(older, 0)
		r := c.server(older).replica
		select {
		case <-r.Node.Done():
		case <-time.After(time.Minute):
			t.Fatal("it goes on")
		}
		if err := r.Node.Err(); err == nil || !strings.Contains(err.Error(), "a newer one has proposed it") {
			t.Error(err)
		}
		c.server(older).end.Stop()
		r.Stop()
		c.off(older, false)
	})
}

// lead lets a server lead.
func lead(t *testing.T, c *cluster, id raft.NodeID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if leader := c.leader(); leader == id || c.server(leader).replica.Node.TransferLeadership(ctx, id) == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("server %s does not lead", id)
}

func (c *cluster) setVersion(id raft.NodeID, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions[id] = version
}

func (c *cluster) wantVersion(t *testing.T, want uint64) {
	t.Helper()
	for id, r := range c.running() {
		if got := r.State.ClusterVersion(); got != want {
			t.Errorf("server %s: the cluster uses version %d, want %d", id, got, want)
		}
	}
}
