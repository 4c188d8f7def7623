package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
	v3electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	v3lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
)

func (t *T) session() *concurrency.Session {
	s, err := concurrency.NewSession(t.client, concurrency.WithTTL(30))
	t.fail("session", err)
	t.cleanup = append(t.cleanup, func() { s.Close() })
	return s
}

var recipeChecks = []check{
	{name: "recipe/mutex", loose: true, run: func(t *T) {
		a, b := t.session(), t.session()
		m1, m2 := concurrency.NewMutex(a, t.k("lock")), concurrency.NewMutex(b, t.k("lock"))
		t.say("lock", "%v", m1.Lock(t.ctx))
		t.say("try", "%v", m2.TryLock(t.ctx))
		r, err := t.client.Txn(t.ctx).If(m1.IsOwner()).Then(clientv3.OpPut(t.k("x"), "1")).Commit()
		t.fail("txn", err)
		t.say("owner", "%t", r.Succeeded)
		got := make(chan error, 1)
		go func() { got <- m2.Lock(t.ctx) }()
		t.await("second asks", func() bool { return t.count("lock/") == 2 })
		before := t.put("before", "the unlock")
		t.say("unlock", "%v", m1.Unlock(t.ctx))
		t.say("second", "%v", <-got)
		t.say("has waited", "%t", m2.Header().Revision > before)
		t.say("close", "%v", b.Close())
		resp, err := t.client.Get(t.ctx, t.k("lock"), clientv3.WithPrefix())
		t.fail("get", err)
		t.say("left", "%d", resp.Count)
	}},
	{name: "recipe/mutex-of-many", loose: true, run: func(t *T) {
		var wg sync.WaitGroup
		counter := 0
		for range 8 {
			s := t.session()
			wg.Go(func() {
				for range 5 {
					m := concurrency.NewMutex(s, t.k("lock"))
					if m.Lock(t.ctx) == nil {
						counter++
						m.Unlock(t.ctx)
					}
				}
			})
		}
		wg.Wait()
		t.say("counted", "%d", counter)
	}},
	{name: "recipe/session-ends", loose: true, run: func(t *T) {
		s := t.session()
		_, err := t.client.Put(t.ctx, t.k("a"), "1", clientv3.WithLease(s.Lease()))
		t.fail("put", err)
		_, err = t.client.Revoke(t.ctx, s.Lease())
		t.fail("revoke", err)
		select {
		case <-s.Done():
			t.say("done", "yes")
		case <-time.After(patience):
			t.say("done", "no")
		}
	}},
	{name: "recipe/election", loose: true, run: func(t *T) {
		a, b := t.session(), t.session()
		e1, e2 := concurrency.NewElection(a, t.k("e")), concurrency.NewElection(b, t.k("e"))
		_, err := e1.Leader(t.ctx)
		t.say("nobody", "%v", err)
		t.say("campaign", "%v", e1.Campaign(t.ctx, "one"))
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		seen := e2.Observe(ctx)
		say := func() {
			r := <-seen
			for _, kv := range r.Kvs {
				t.say("observed", "%s", kv.Value)
			}
		}
		say()
		t.say("proclaim", "%v", e1.Proclaim(t.ctx, "uno"))
		say()
		won := make(chan error, 1)
		go func() { won <- e2.Campaign(t.ctx, "two") }()
		t.await("second asks", func() bool { return t.count("e/") == 2 })
		t.say("resign", "%v", e1.Resign(t.ctx))
		t.say("second", "%v", <-won)
		say()
		r, err := e1.Leader(t.ctx)
		t.fail("leader", err)
		t.say("leader", "%s", r.Kvs[0].Value)
		t.say("proclaim of the loser", "%v", e1.Proclaim(t.ctx, "x"))
	}},
	{name: "recipe/stm", loose: true, run: func(t *T) {
		for _, level := range []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.RepeatableReads, concurrency.ReadCommitted} {
			key := t.k(fmt.Sprint("n", level))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 5 {
						concurrency.NewSTM(t.client, func(s concurrency.STM) error {
							s.Put(key, s.Get(key)+"x")
							if s.Rev(key) < 0 {
								s.Del(key)
							}
							return nil
						}, concurrency.WithIsolation(level))
					}
				})
			}
			wg.Wait()
			r, err := t.client.Get(t.ctx, key)
			t.fail("get", err)
			t.say(fmt.Sprint("level ", level), "%t", level == concurrency.ReadCommitted || len(r.Kvs[0].Value) == 20)
		}
	}},
	{name: "recipe/namespace", run: func(t *T) {
		kv := namespace.NewKV(t.client.KV, t.k("ns/"))
		w := namespace.NewWatcher(t.client.Watcher, t.k("ns/"))
		l := namespace.NewLease(t.client.Lease, t.k("ns/"))
		ch := w.Watch(t.ctx, "a")
		_, err := kv.Put(t.ctx, "a", "1")
		t.fail("put", err)
		t.say("event", "%s", (<-ch).Events[0].Kv.Key)
		_, err = kv.Txn(t.ctx).If(clientv3util.KeyExists("a")).Then(clientv3.OpPut("b", "2"), clientv3.OpGet("", clientv3.WithPrefix())).Commit()
		t.fail("txn", err)
		r, err := kv.Get(t.ctx, "", clientv3.WithFromKey())
		t.fail("get", err)
		t.say("keys", "%d", r.Count)
		_, err = kv.Delete(t.ctx, "", clientv3.WithPrefix())
		t.fail("delete", err)
		_ = l
	}, loose: true},
	{name: "recipe/mirror", loose: true, run: func(t *T) {
		for i := range 5 {
			t.put(fmt.Sprint("k", i), fmt.Sprint(i))
		}
		s := mirror.NewSyncer(t.client, t.k(""), 0)
		gets, errs := s.SyncBase(t.ctx)
		n := 0
		for r := range gets {
			n += len(r.Kvs)
		}
		t.say("base", "%d %v", n, <-errs)
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		ch := s.SyncUpdates(ctx)
		t.put("k1", "again")
		r := <-ch
		t.say("update", "%s %v", r.Events[0].Kv.Value, r.Err())
	}},
	{name: "recipe/leasing", loose: true, run: func(t *T) {
		kv, closeKV, err := leasing.NewKV(t.client, t.k("leasing/"))
		t.fail("leasing", err)
		defer closeKV()
		other, closeOther, err := leasing.NewKV(t.newClient(clientv3.Config{}), t.k("leasing/"))
		t.fail("leasing", err)
		defer closeOther()
		for _, value := range []string{"1", "2"} {
			_, err := kv.Put(t.ctx, t.k("a"), value)
			t.fail("put", err)
			r, err := kv.Get(t.ctx, t.k("a"))
			t.fail("get", err)
			t.say("get", "%s", r.Kvs[0].Value)
			_, err = other.Put(t.ctx, t.k("a"), value+" of the other")
			t.fail("other put", err)
			r, err = kv.Get(t.ctx, t.k("a"))
			t.fail("get", err)
			t.say("get again", "%s", r.Kvs[0].Value)
		}
		txn, err := kv.Txn(t.ctx).If(clientv3.Compare(clientv3.Value(t.k("a")), "=", "2 of the other")).Then(clientv3.OpPut(t.k("b"), "1")).Commit()
		t.fail("txn", err)
		t.say("txn", "%t", txn.Succeeded)
		_, err = kv.Delete(t.ctx, t.k("a"))
		t.fail("delete", err)
	}},
	{name: "recipe/ordering", loose: true, run: func(t *T) {
		kv := ordering.NewKV(t.client.KV, func(clientv3.Op, clientv3.OpResponse, int64) error { return errors.New("went back") })
		for i := range 20 {
			_, err := kv.Put(t.ctx, t.k("a"), fmt.Sprint(i))
			t.fail("put", err)
			r, err := kv.Get(t.ctx, t.k("a"))
			t.fail("get", err)
			if string(r.Kvs[0].Value) != fmt.Sprint(i) {
				t.say("get", "%s after %d", r.Kvs[0].Value, i)
			}
		}
		t.say("in order", "yes")
	}},
	{name: "recipe/client-kv", loose: true, run: func(t *T) {
		c := t.client
		for _, k := range []string{"a", "b", "c"} {
			_, err := c.Put(t.ctx, t.k(k), k)
			t.fail("put", err)
		}
		say := func(step string, r *clientv3.GetResponse, err error) {
			t.fail(step, err)
			var all []string
			for _, kv := range r.Kvs {
				all = append(all, strings.TrimPrefix(string(kv.Key), t.k(""))+"="+string(kv.Value))
			}
			t.say(step, "%v count %d more %t", all, r.Count, r.More)
		}
		r, err := c.Get(t.ctx, t.k(""), clientv3.WithPrefix(), clientv3.WithLimit(2))
		say("limit", r, err)
		r, err = c.Get(t.ctx, t.k("a"), clientv3.WithRange(t.k("c")), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
		say("descending", r, err)
		r, err = c.Get(t.ctx, t.k("b"), clientv3.WithFromKey(), clientv3.WithRange(t.k("zz")))
		say("range", r, err)
		for _, opt := range [][]clientv3.OpOption{clientv3.WithFirstCreate(), clientv3.WithLastCreate(), clientv3.WithFirstKey(), clientv3.WithLastKey(), clientv3.WithFirstRev(), clientv3.WithLastRev()} {
			r, err = c.Get(t.ctx, t.k(""), append(opt, clientv3.WithPrefix())...)
			say("with", r, err)
		}
		d, err := c.Delete(t.ctx, t.k(""), clientv3.WithPrefix(), clientv3.WithPrevKV())
		t.fail("delete", err)
		t.say("deleted", "%d %d", d.Deleted, len(d.PrevKvs))
		_, err = c.Get(t.ctx, "")
		t.say("empty key", "%v", err)
		_, err = c.Get(t.ctx, t.k("a"), clientv3.WithRev(1<<40))
		t.say("future", "%v", err)
		_, err = c.Compact(t.ctx, 1<<40)
		t.say("compact", "%v", err)
		_, err = c.Put(t.ctx, t.k("a"), strings.Repeat("x", 2<<20-200))
		t.say("large", "%v", err)
		_, err = c.Put(t.ctx, t.k("a"), "1", clientv3.WithLease(99))
		t.say("no lease", "%v", err)
	}},
	{name: "recipe/lock-service", run: func(t *T) {
		grant := t.grant(60, 3001)
		t.grant(60, 3002)
		l := v3lockpb.NewLockClient(t.conns[0])
		r, err := l.Lock(t.ctx, &v3lockpb.LockRequest{Name: t.b("l"), Lease: grant})
		t.fail("lock", err)
		ctx, cancel := context.WithTimeout(t.ctx, 300*time.Millisecond)
		defer cancel()
		_, err = l.Lock(ctx, &v3lockpb.LockRequest{Name: t.b("l"), Lease: 3002})
		t.say("second", "%t", err != nil)
		_, err = l.Unlock(t.ctx, &v3lockpb.UnlockRequest{Key: r.Key})
		t.say("unlock", "%v", err)
		_, err = l.Lock(t.ctx, &v3lockpb.LockRequest{Name: t.b("l"), Lease: 3999})
		t.say("without lease", "%s", errorText(err))
		t.sendTo(0, &v3lockpb.UnlockRequest{Key: []byte("nothing")})
		t.sendTo(0, &v3lockpb.UnlockRequest{})
		t.sendTo(0, &v3lockpb.LockRequest{})
		t.sendTo(0, &v3lockpb.LockRequest{Name: t.b("m")})
	}, loose: true},
	{name: "recipe/election-service", run: func(t *T) {
		t.grant(60, 3101)
		e := v3electionpb.NewElectionClient(t.conns[1])
		_, err := e.Leader(t.ctx, &v3electionpb.LeaderRequest{Name: t.b("e")})
		t.say("nobody", "%s", errorText(err))
		r, err := e.Campaign(t.ctx, &v3electionpb.CampaignRequest{Name: t.b("e"), Lease: 3101, Value: []byte("one")})
		t.fail("campaign", err)
		t.say("leader", "%s", t.masks.render(r.Leader))
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		o, err := e.Observe(ctx, &v3electionpb.LeaderRequest{Name: t.b("e")})
		t.fail("observe", err)
		first, err := o.Recv()
		t.fail("observed", err)
		t.say("observed", "%s", t.masks.render(first.Kv))
		_, err = e.Proclaim(t.ctx, &v3electionpb.ProclaimRequest{Leader: r.Leader, Value: []byte("two")})
		t.fail("proclaim", err)
		next, err := o.Recv()
		t.fail("observed", err)
		t.say("observed", "%s", t.masks.render(next.Kv))
		l, err := e.Leader(t.ctx, &v3electionpb.LeaderRequest{Name: t.b("e")})
		t.fail("leader", err)
		t.say("leader", "%s", t.masks.render(l))
		_, err = e.Resign(t.ctx, &v3electionpb.ResignRequest{Leader: r.Leader})
		t.fail("resign", err)
		for _, bad := range []*v3electionpb.ProclaimRequest{{Leader: r.Leader, Value: []byte("x")}, {}} {
			_, err = e.Proclaim(t.ctx, bad)
			t.say("proclaim", "%s", errorText(err))
		}
		_, err = e.Resign(t.ctx, &v3electionpb.ResignRequest{})
		t.say("resign", "%s", errorText(err))
		_, err = e.Campaign(t.ctx, &v3electionpb.CampaignRequest{Name: t.b("e"), Lease: 3999})
		t.say("campaign without a lease", "%s", errorText(err))
	}, loose: true},
}
