package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// restart kills a member, and starts it again after a while.
func (t *T) restart(member int, after time.Duration) {
	s := t.cluster.servers[member]
	s.stop(syscall.SIGKILL)
	time.Sleep(after)
	t.fail("start", s.start())
	t.fail("ready", s.awaitReady(t.ctx))
}

// putAll puts keys one after the other, whatever it takes, and returns how many it put.
func (t *T) putAll(ctx context.Context, n int) (done int) {
	for i := 0; i < n && ctx.Err() == nil; i++ {
		for ctx.Err() == nil {
			call, cancel := context.WithTimeout(ctx, 3*time.Second)
			_, err := t.client.Put(call, t.k("n"), fmt.Sprint(i))
			cancel()
			if err == nil {
				done++
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return done
}

// follow watches until it has seen a value, and says whether revisions rose by one each, since nobody
// else writes, and whether values came in order.
func (t *T) follow(last string) (seen int, inOrder bool) {
	inOrder = true
	before := t.masks.base
	for t.ctx.Err() == nil {
		for r := range t.client.Watch(clientv3.WithRequireLeader(t.ctx), t.k("n"), clientv3.WithRev(before+1)) {
			if err := r.Err(); err != nil && !errors.Is(err, rpctypes.ErrNoLeader) { // then it begins again
				t.say("watch", "%v", err)
				return seen, false
			}
			for _, e := range r.Events {
				seen++
				inOrder = inOrder && e.Kv.ModRevision > before && e.Kv.Version == int64(seen)
				before = e.Kv.ModRevision
				if string(e.Kv.Value) == last {
					return seen, inOrder
				}
			}
		}
	}
	return seen, false
}

// faultChecks run while members are killed. Where they get no answer in time, nothing is the same.
var faultChecks = []check{
	{name: "faults/watch-through-restarts", loose: true, run: func(t *T) {
		type result struct {
			seen    int
			inOrder bool
		}
		const n = 300
		followed := make(chan result, 1)
		go func() {
			seen, inOrder := t.follow(fmt.Sprint(n - 1))
			followed <- result{seen, inOrder}
		}()
		put := make(chan int, 1)
		go func() { put <- t.putAll(t.ctx, n) }()
		for member := range members {
			time.Sleep(300 * time.Millisecond)
			t.restart(member, 500*time.Millisecond)
		}
		t.say("put", "%d", <-put)
		r := <-followed
		t.say("every change once and in order", "%t; at least as many as were put: %t", r.inOrder, r.seen >= n)
	}},
	{name: "faults/lease-through-an-election", loose: true, run: func(t *T) {
		grant, err := t.client.Grant(t.ctx, 5)
		t.fail("grant", err)
		_, err = t.client.Put(t.ctx, t.k("a"), "1", clientv3.WithLease(grant.ID))
		t.fail("put", err)
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		alive, err := t.client.KeepAlive(ctx, grant.ID)
		t.fail("keep alive", err)
		go func() {
			for range alive {
			}
		}()
		leads, _ := t.leader()
		t.restart(leads, time.Second)
		time.Sleep(6 * time.Second)
		r, err := t.client.Get(t.ctx, t.k("a"))
		t.fail("get", err)
		t.say("kept alive", "%d", r.Count)
		cancel()
		gone := false
		for begin := time.Now(); time.Since(begin) < 20*time.Second && !gone; time.Sleep(100 * time.Millisecond) {
			r, err := t.client.Get(t.ctx, t.k("a"))
			gone = err == nil && r.Count == 0
		}
		t.say("gone when nobody keeps it", "%t", gone)
	}},
	{name: "faults/without-a-majority", loose: true, run: func(t *T) {
		t.put("a", "1")
		for _, member := range []int{1, 2} {
			t.cluster.servers[member].stop(syscall.SIGKILL)
		}
		time.Sleep(3 * time.Second)
		for _, ask := range []struct {
			name string
			req  *pb.RangeRequest
		}{{"serializable", &pb.RangeRequest{Key: t.b("a"), Serializable: true}}, {"linearizable", &pb.RangeRequest{Key: t.b("a")}}} {
			ctx, cancel := context.WithTimeout(t.ctx, 15*time.Second)
			resp := new(pb.RangeResponse)
			err := t.conns[0].Invoke(ctx, "/etcdserverpb.KV/Range", ask.req, resp)
			cancel()
			t.say(ask.name, "%d %v", resp.Count, err != nil)
		}
		w := t.watcherWith(clientv3.WithRequireLeader(t.ctx), 0)
		w.create(&pb.WatchCreateRequest{Key: t.b("a")})
		select {
		case err := <-w.err:
			t.say("watch that requires a leader", "%s", errorText(err))
		case <-time.After(10 * time.Second):
			t.say("watch that requires a leader", "goes on")
		}
		for _, member := range []int{1, 2} {
			t.fail("start", t.cluster.servers[member].start())
		}
		for _, member := range []int{1, 2} {
			t.fail("ready", t.cluster.servers[member].awaitReady(t.ctx))
		}
		_, err := t.client.Put(t.ctx, t.k("a"), "2")
		t.say("put", "%v", err)
	}},
}
