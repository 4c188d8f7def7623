package replica_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/raft"
)

// A write that two healthy servers agree on takes two hops and two writes to disks.
const (
	healthyPut = 2*time.Millisecond + 2*saveTime
	latePut    = 2 * healthyPut // may be behind one that is being written
)

// What a leader sends to a follower that confirms nothing is bounded: by this default of
// raft.Config, and so in bytes.
const (
	maxUnconfirmedAppends = 256
	maxUnconfirmedBytes   = 256 << 10
)

// peersInBubble runs a test with a leader that serves, and one follower to be held up.
func peersInBubble(t *testing.T, test func(t *testing.T, c *cluster, leader, slow raft.NodeID)) {
	t.Parallel()
	seed := nextSeed(t.Name())
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, options{servers: 3, seed: seed, maxRaftState: maxRaftState, segmentSize: maxRaftState})
		defer c.close()
		c.start(c.ids...)
		leader := c.leader()
		c.mustPutFast(leader, "first")
		test(t, c, leader, c.others(leader)[0])
		c.converge()
	})
}

// mustPutFast puts at the leader, which is not to wait for more than one follower.
func (c *cluster) mustPutFast(leader raft.NodeID, key string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	began := time.Now()
	reply, err := c.server(leader).replica.Do(ctx, &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte(key), Value: make([]byte, 100)})
	if d := time.Since(began); err != nil || reply.Code != api.Reply_OK || d > latePut {
		c.t.Fatalf("put %s took %v: %v, %v", key, d, reply, err)
	}
	began = time.Now()
	reply, err = c.server(leader).replica.Do(ctx, &api.Request{Kind: api.Request_GET, Key: []byte(key)})
	if d := time.Since(began); err != nil || len(reply.Value) != 100 || d > latePut {
		c.t.Fatalf("get %s took %v: %s, %v", key, d, reply.GetCode(), err)
	}
}

// keepServing puts and gets for d, and fails the test if the leader slows down, loses its
// place, or keeps what only the slow server lacks.
func (c *cluster) keepServing(leader raft.NodeID, d time.Duration) {
	c.t.Helper()
	term := c.server(leader).replica.Node.Status().Term
	for began, i := time.Now(), 0; time.Since(began) < d; i++ {
		c.mustPutFast(leader, fmt.Sprint(i%10))
		time.Sleep(10 * time.Millisecond)
		s := c.server(leader).replica.Node.Status()
		if s.Term != term || s.Role != raft.Leader {
			c.t.Fatalf("the leader of term %d is %s in term %d", term, s.Role, s.Term)
		}
		if s.LogBytes > maxLogBytes || s.Pending > 1 {
			c.t.Fatalf("the leader keeps %d bytes of log and %d writes", s.LogBytes, s.Pending)
		}
	}
}

// putMany makes more messages than may be on the way to one follower.
func (c *cluster) putMany(leader raft.NodeID) {
	c.t.Helper()
	for i := range maxUnconfirmedAppends + 50 {
		c.mustPutFast(leader, fmt.Sprint(i%10))
	}
}

// A follower reads neither messages nor snapshots: the leader sends it a bounded amount and
// serves on, and when it reads again it takes all that waited, and the rest.
func TestLeaderServesBesideAFollowerThatDoesNotRead(t *testing.T) {
	peersInBubble(t, func(t *testing.T, c *cluster, leader, slow raft.NodeID) {
		r := c.server(slow).receiver
		r.hold()
		c.putMany(leader)
		if n, b := r.waiting(); n > maxUnconfirmedAppends || n < maxUnconfirmedAppends/2 || b > maxUnconfirmedBytes {
			t.Errorf("%d messages with %d bytes wait for a server that does not read", n, b)
		}
		c.keepServing(leader, 4*time.Second)
		if n, b := r.waiting(); n > maxUnconfirmedAppends || b > maxUnconfirmedBytes {
			t.Errorf("4 s later %d messages with %d bytes wait", n, b)
		}
		r.release()
		began := time.Now()
		c.fresh(slow)
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("it took %v to catch up", d)
		}
	})
}

// A snapshot that its receiver does not take holds nothing else up, and is the only one on
// its way.
func TestLeaderServesBesideASnapshotThatIsStuck(t *testing.T) {
	peersInBubble(t, func(t *testing.T, c *cluster, leader, slow raft.NodeID) {
		c.net.Disconnect(slow)
		c.keepServing(leader, time.Second) // and trim the log
		r := c.server(slow).receiver
		r.hold()
		c.net.Connect(slow)
		for range 8 {
			c.keepServing(leader, time.Second)
			if n := r.streams.Load(); n > 1 {
				t.Fatalf("%d snapshots are on their way to one server", n)
			}
		}
		if r.streams.Load() != 1 {
			t.Error("no snapshot was sent")
		}
		if n, b := r.waiting(); n > maxUnconfirmedAppends || b > maxUnconfirmedBytes {
			t.Errorf("%d messages with %d bytes wait besides", n, b)
		}
		r.release()
	})
}

// A follower whose disk takes seconds for each write confirms late, which only it suffers
// from: what it has not written stays bounded, and in the end it has all.
func TestLeaderServesBesideAFollowerWithASlowDisk(t *testing.T) {
	peersInBubble(t, func(t *testing.T, c *cluster, leader, slow raft.NodeID) {
		wait := func() { time.Sleep(3 * time.Second) }
		m := c.server(slow)
		m.storage.save.Store(&wait)
		c.putMany(leader)
		c.keepServing(leader, 10*time.Second)
		if s := m.replica.Node.Status(); s.LogBytes > maxUnconfirmedBytes {
			t.Errorf("the slow server holds %d bytes of log", s.LogBytes)
		}
		m.storage.save.Store(nil)
		c.keepServing(leader, 4*time.Second)
	})
}

// A follower that takes long to restore a snapshot applies nothing meanwhile, yet votes and
// confirms: it is a majority with the leader.
func TestFollowerThatRestoresForLongStillConfirms(t *testing.T) {
	peersInBubble(t, func(t *testing.T, c *cluster, leader, slow raft.NodeID) {
		c.net.Disconnect(slow)
		c.keepServing(leader, time.Second)
		restore := make(chan struct{})
		wait := func() { <-restore }
		m := c.server(slow)
		m.state.restore.Store(&wait)
		c.net.Connect(slow)
		c.keepServing(leader, 2*time.Second)
		if s := m.replica.Node.Status(); s.Commit == 0 || m.replica.State.Revision() > 10 {
			t.Errorf("the follower is at %d, its store at revision %d: nothing was restored", s.Commit, m.replica.State.Revision())
		}
		third := c.others(leader)[1]
		c.net.Disconnect(third)
		c.keepServing(leader, 2*time.Second)

		// A read at the follower waits for what it is to see, or for its caller's patience.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := m.replica.Do(ctx, &api.Request{Kind: api.Request_GET, Key: []byte("0")})
		if d := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || d != time.Second {
			t.Errorf("a read at a server that is behind returned %v after %v", err, d)
		}
		m.state.restore.Store(nil)
		close(restore)
		c.keepServing(leader, time.Second)
		c.net.Heal()
	})
}
