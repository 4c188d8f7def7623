//go:build !race

// The race detector looks at each byte that is copied, which takes it half a minute here. Other tests do the same with
// small values.

package server

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"balsa.example/clerk"
	"balsa.example/kv"
)

// largeValue is --max-request-bytes of TestLargeValues, as many users of etcd have it.
const largeValue = 10 << 20

// largeCluster is a cluster two of whose servers take large values. The third one has the defaults: what it takes itself
// is one thing, and what it executes, hands out and proposes for the others is another.
type largeCluster struct {
	*testCluster
	ctx   context.Context
	clerk *clerk.Clerk
	conns []*grpc.ClientConn // of the etcd API
}

func newLargeCluster(t *testing.T) *largeCluster {
	c := &largeCluster{testCluster: newTestCluster(t, options{servers: 3, dir: t.TempDir()})}
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithTimeout(t.Context(), 10*patience)
	t.Cleanup(cancel)
	for i := range c.configs {
		c.configs[i].MaxRaftState = 1 << 20
		c.configs[i].HeartbeatInterval, c.configs[i].ElectionTimeout = 100*time.Millisecond, time.Second
		if i < 2 {
			c.configs[i].Limits = kv.Limits{MaxKeyBytes: largeValue, MaxValueBytes: largeValue}
		}
		conn, err := grpc.NewClient(c.configs[i].ListenClient[0].Host, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c.conns = append(c.conns, conn)
	}
	var err error
	if c.clerk, err = clerk.New(c.endpoints, clerk.WithMaxBytes(largeValue+2<<20), clerk.WithSession(time.Minute)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.clerk.Close() })
	return c
}

// lead lets a server lead.
func (c *largeCluster) lead(to int) {
	c.t.Helper()
	eventually(c.t, "leadership is not handed over", func() bool {
		from := c.leader()
		if from == to {
			return true
		}
		_, err := c.testCluster.clerk.TransferLeadership(c.ctx, c.endpoints[from], uint64(c.servers[to].id()))
		return err == nil
	})
}

// read reads a key at one server, as it is there.
func (c *largeCluster) read(i int, key string) []byte {
	c.t.Helper()
	r, err := pb.NewKVClient(c.conns[i]).Range(c.ctx, &pb.RangeRequest{Key: []byte(key), Serializable: true})
	if err != nil || len(r.Kvs) != 1 {
		c.t.Errorf("server %d has %d values of %s, %v", i+1, len(r.GetKvs()), key, err)
		return nil
	}
	return r.Kvs[0].Value
}

func TestLargeValues(t *testing.T) {
	t.Parallel()
	c := newLargeCluster(t)
	c.startAll()
	away := c.servers[2].native.Replica().Node.Status().LastIndex
	c.stop(2)
	// The etcd API bounds the whole request. On a slow machine a write may be sent again, and what it has read is then
	// not told: that is Incomplete.
	a, b := bytes.Repeat([]byte("a"), largeValue), bytes.Repeat([]byte("b"), largeValue-100)
	if _, err := c.clerk.Put(c.ctx, "k", a, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.clerk.Put(c.ctx, "k", append(a, 'a'), 1); !errors.Is(err, clerk.ErrTooLarge) {
		t.Errorf("a larger value: %v", err)
	}
	if _, err := c.clerk.Put(c.ctx, "k", make([]byte, largeValue+1<<20), 1); !errors.Is(err, clerk.ErrTooLarge) {
		t.Errorf("a much larger value: %v", err)
	}
	put, err := c.clerk.Put(c.ctx, "k", b, 1, clerk.WithPrev())
	if err != nil || !put.Incomplete && !bytes.Equal(put.Prev.Value, a) {
		t.Fatalf("a put with the previous value: %v", err)
	}
	txn, err := c.clerk.Txn(c.ctx).If(clerk.Version("k").Equals(2)).
		Then(clerk.OpGet("k"), clerk.OpPut("k", a, clerk.WithPrev()), clerk.OpPut("other", nil)).Commit()
	if err != nil || !txn.Succeeded || !txn.Incomplete && (!bytes.Equal(txn.Results[0].KVs[0].Value, b) || !bytes.Equal(txn.Results[1].KVs[0].Value, b)) {
		t.Fatalf("a transaction: %v", err)
	}

	// The third server was away. The log that it lacks is gone, so it gets the state.
	eventually(t, "the log is not compacted", func() bool {
		return c.servers[0].native.Replica().Node.Status().FirstIndex > away+1 && c.servers[1].native.Replica().Node.Status().FirstIndex > away+1
	})
	c.start(2)
	awaitReady(t, c.servers[2])
	c.awaitSameState()
	for i := range c.servers {
		if !bytes.Equal(c.read(i, "k"), a) {
			t.Errorf("server %d has another value", i+1)
		}
	}

	// While it leads, those of others get through by it, and those of its own clients do not.
	c.lead(2)
	eventually(t, "a put that the leader would not take itself does not get through", func() bool {
		_, err := pb.NewKVClient(c.conns[0]).Put(c.ctx, &pb.PutRequest{Key: []byte("k"), Value: b})
		return err == nil // else it took too long
	})
	eventually(t, "a put at a leader with a lower limit is not refused", func() bool {
		c.lead(2)
		_, err := c.clerk.Set(c.ctx, "k", b)
		return errors.Is(err, clerk.ErrTooLarge) && !errors.Is(err, clerk.ErrMaybe) // else another one leads
	})
	events := [][2][]byte{{a, b}, {b, a}}
	c.watchLarge(0, txn.Revision, events)
	c.watchLargeByEtcd(2, txn.Revision, events)

	c.stopAll()
	c.startAll()
	c.awaitSameState()
	for i := range c.servers {
		if !bytes.Equal(c.read(i, "k"), b) {
			t.Errorf("server %d has another value after a restart", i+1)
		}
	}
}

// watchLarge watches a key at one server from a revision on. want are the first values, and the previous ones.
func (c *largeCluster) watchLarge(i int, from uint64, want [][2][]byte) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	ck, err := clerk.New(c.endpoints[i : i+1])
	if err != nil {
		c.t.Fatal(err)
	}
	defer ck.Close()
	left := want
	for changes, err := range ck.Watch(ctx, clerk.Key("k"), clerk.Since(from), clerk.WithPrev()) {
		if err != nil {
			c.t.Errorf("watch at server %d: %v", i+1, err)
			break
		}
		for _, e := range changes.Events {
			if len(left) > 0 && (!bytes.Equal(e.Value, left[0][0]) || e.Prev == nil || !bytes.Equal(e.Prev.Value, left[0][1])) {
				c.t.Errorf("server %d: event %d is another one", i+1, len(want)-len(left))
			}
			left = left[min(1, len(left)):]
		}
		if len(left) == 0 {
			break
		}
	}
}

// watchLargeByEtcd is watchLarge by the API of etcd.
func (c *largeCluster) watchLargeByEtcd(i int, from uint64, want [][2][]byte) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	watch, err := pb.NewWatchClient(c.conns[i]).Watch(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte("k"), StartRevision: int64(from), PrevKv: true}
	if err := watch.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		c.t.Fatal(err)
	}
	for left := want; len(left) > 0; {
		r, err := watch.Recv()
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range r.Events {
			if len(left) > 0 && (!bytes.Equal(e.Kv.Value, left[0][0]) || !bytes.Equal(e.PrevKv.GetValue(), left[0][1])) {
				c.t.Errorf("server %d: event %d of the etcd API is another one", i+1, len(want)-len(left))
			}
			left = left[min(1, len(left)):]
		}
	}
}
