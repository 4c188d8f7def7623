package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
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

// writer puts a key again and again, whatever it takes, until it is ended.
type writer struct {
	done atomic.Int64 // puts that were acknowledged
	last chan string
	end  func()
}

func (t *T) writer() *writer {
	ctx, cancel := context.WithCancel(t.ctx)
	t.cleanup = append(t.cleanup, cancel)
	w := &writer{last: make(chan string, 1), end: cancel}
	put := func(value string) {
		for t.ctx.Err() == nil {
			call, cancel := context.WithTimeout(t.ctx, 3*time.Second)
			_, err := t.client.Put(call, t.k("n"), value)
			cancel()
			if err == nil {
				w.done.Add(1)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	go func() {
		for ctx.Err() == nil {
			put(fmt.Sprint(w.done.Load()))
		}
		put(lastValue)
		w.last <- lastValue
	}()
	return w
}

// lastValue is what a writer puts last.
const lastValue = "the last"

// awaitPuts waits until a writer has put so many more.
func (t *T) awaitPuts(step string, w *writer, more int64) {
	until := w.done.Load() + more
	t.await(step, func() bool { return w.done.Load() >= until })
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
		const some = 30
		type result struct {
			seen    int
			inOrder bool
		}
		followed := make(chan result, 1)
		go func() {
			seen, inOrder := t.follow(lastValue)
			followed <- result{seen, inOrder}
		}()
		w := t.writer()
		for _, s := range t.cluster.servers {
			t.awaitPuts("puts before", w, some)
			s.stop(syscall.SIGKILL)
			t.awaitPuts("puts without a member", w, some)
			t.fail("start", s.start())
			t.fail("ready", s.awaitReady(t.ctx))
		}
		w.end()
		<-w.last
		r := <-followed
		t.say("every change once and in order", "%t; at least as many as were put: %t", r.inOrder, int64(r.seen) >= w.done.Load())
	}},
	{name: "faults/lease-through-an-election", loose: true, run: func(t *T) {
		const ttl = 10
		grant, err := t.client.Grant(t.ctx, ttl)
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
		time.Sleep((ttl + 1) * time.Second) // it would be gone
		t.say("kept alive", "%d", t.count("a"))
		cancel()
		t.await("gone when nobody keeps it", func() bool { return t.count("a") == 0 })
		t.say("gone when nobody keeps it", "yes")
	}},
	{name: "faults/without-a-majority", loose: true, run: func(t *T) {
		t.put("a", "1")
		for _, member := range []int{1, 2} {
			t.cluster.servers[member].stop(syscall.SIGKILL)
		}
		t.await("no leader", func() bool { return t.status(0).Leader == 0 })
		for _, ask := range []struct {
			name string
			req  *pb.RangeRequest
		}{{"serializable", &pb.RangeRequest{Key: t.b("a"), Serializable: true}}, {"linearizable", &pb.RangeRequest{Key: t.b("a")}}} {
			ctx, cancel := context.WithTimeout(t.ctx, patience)
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
		case <-time.After(patience):
			t.say("watch that requires a leader", "goes on")
		}
		for _, member := range []int{1, 2} {
			t.fail("start", t.cluster.servers[member].start())
		}
		for _, member := range []int{1, 2} {
			t.fail("ready", t.cluster.servers[member].awaitReady(t.ctx))
		}
		t.leader()
		_, err := t.client.Put(t.ctx, t.k("a"), "2")
		t.say("put", "%v", err)
	}},
}
