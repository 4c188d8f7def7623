package replica_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"balsa.example/internal/replica"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// Any member executes commands and reads, from before the first election on.
func TestAnyMemberAnswers(t *testing.T) {
	inCluster(t, func(c *cluster) {
		var work sync.WaitGroup
		for i, r := range c.replicas() {
			work.Go(func() {
				key := string(rune('a' + i))
				r, _, err := r.Anywhere().Submit(context.Background(), nil, state.Command{Op: kv.Op{Kind: kv.Put, Key: key, Value: []byte(key)}})
				if err != nil || r.Code != kv.CodeOK {
					t.Errorf("put %s: %v, %v", key, r.Code, err)
				}
			})
		}
		work.Wait()
		for id, r := range c.running() {
			if err := r.Anywhere().Read(context.Background(), nil); err != nil {
				t.Errorf("read at %s: %v", id, err)
			}
			if revision := r.State.Revision(); revision != 4 {
				t.Errorf("%s is at revision %d", id, revision)
			}
			if r.Anywhere().Leader() == raft.None || r.Anywhere().Term() == 0 {
				t.Errorf("%s knows no leader", id)
			}
		}
	})
}

// keepAlive returns the answer to a keep-alive.
func keepAlive(r *replica.Replica, lease int64) (ttl int64, err error) {
	answered := make(chan struct{})
	r.Anywhere().KeepAlive(lease, func(left int64, failed error) {
		ttl, err = left, failed
		close(answered)
	})
	<-answered
	return ttl, err
}

// A lease that any member grants lives at least its time, as long as any member keeps it alive, and
// ends soon after.
func TestAnyMemberKeepsLeasesAlive(t *testing.T) {
	inCluster(t, func(c *cluster) {
		const ttl = 3 * time.Second
		for id, r := range c.running() {
			grant := state.Command{More: &state.More{Kind: state.KindGrant, Lease: int64(id), TTL: int64(ttl)}}
			if g, _, err := r.Anywhere().Submit(context.Background(), nil, grant); err != nil || g.Code != kv.CodeOK {
				t.Fatalf("grant at %s: %v, %v", id, g.Code, err)
			}
		}
		for range 10 {
			time.Sleep(ttl * 9 / 10)
			for id, r := range c.running() {
				if left, err := keepAlive(r, int64(id)); err != nil || left != int64(ttl) {
					t.Fatalf("keep alive at %s: %d, %v", id, left, err)
				}
			}
		}
		time.Sleep(ttl * 9 / 10)
		for _, r := range c.replicas() {
			if n := r.State.Figures().Leases; n != 3 {
				t.Errorf("%d leases are left", n)
			}
		}
		time.Sleep(ttl/10 + time.Second)
		for id, r := range c.running() {
			if left, err := keepAlive(r, int64(id)); err != nil || left != 0 {
				t.Errorf("keep alive at %s after the end: %d, %v", id, left, err)
			}
		}
	})
}

// What the leader has no room for is refused at every member, and a compaction is not.
func TestNoMemberFillsTheDiskOfTheLeader(t *testing.T) {
	inCluster(t, func(c *cluster) {
		put := state.Command{Op: kv.Op{Kind: kv.Put, Key: "a", Unconditional: true}}
		for _, r := range c.replicas() {
			if _, _, err := r.Anywhere().Submit(context.Background(), nil, put); err != nil {
				t.Fatal(err)
			}
		}
		c.lowSpace.Store(true)
		compact := state.Command{More: &state.More{Kind: state.KindCompact, Revision: 2}}
		for id, r := range c.running() {
			if _, _, err := r.Anywhere().Submit(context.Background(), nil, put); !errors.Is(err, rsm.ErrNotAdmitted) {
				t.Errorf("put at %s: %v", id, err)
			}
			if _, _, err := r.Anywhere().Submit(context.Background(), nil, compact); err != nil {
				t.Errorf("compact at %s: %v", id, err)
			}
			compact.More.Revision++
		}
	})
}

// A member without a leader keeps what was asked of it, and ends all of it when it stops.
func TestKeepAlivesEndWithTheMember(t *testing.T) {
	inCluster(t, func(c *cluster) {
		c.stop(1)
		c.stop(2)
		r := c.server(3).replica
		time.Sleep(5 * time.Second)
		ends := make(chan error, 3)
		for range 3 {
			r.Anywhere().KeepAlive(1, func(_ int64, err error) { ends <- err })
		}
		time.Sleep(time.Second)
		if len(ends) > 0 {
			t.Errorf("a keep-alive ended without a leader: %v", <-ends)
		}
		c.stop(3)
		for range 3 {
			if err := <-ends; err == nil {
				t.Error("it lives without a leader")
			}
		}
	})
}
