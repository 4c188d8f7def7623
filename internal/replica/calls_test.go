package replica_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/raft"
)

// ask has a request answered by a server.
func (c *cluster) ask(id raft.NodeID, req *api.Request) *api.Reply {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	reply, err := c.server(id).replica.Do(ctx, req)
	if err != nil {
		c.t.Fatalf("server %s does not answer %v: %v", id, req, err)
	}
	if reply, err = reply.Whole(); err != nil {
		c.t.Fatal(err)
	}
	return reply
}

// must has a request executed by whoever leads.
func (c *cluster) must(req *api.Request) *api.Reply {
	c.t.Helper()
	var reply *api.Reply
	for range 1000 {
		switch reply = c.ask(c.leader(), req); reply.Code {
		case api.Reply_OK:
			return reply
		case api.Reply_WRONG_LEADER, api.Reply_BUSY, api.Reply_UNAVAILABLE:
			time.Sleep(10 * time.Millisecond)
		default:
			c.t.Fatalf("%v gets %v", req, reply)
		}
	}
	c.t.Fatalf("%v gets %v for 10 s", req, reply)
	return nil
}

func (c *cluster) lease(kind api.Request_Kind, l *api.Lease) *api.Reply {
	c.t.Helper()
	return c.must(&api.Request{Kind: kind, Call: &api.Request_Lease{Lease: l}})
}

func single(key string) *api.Span { return &api.Span{From: []byte(key), To: []byte(key + "\x00")} }

func rangeRequest(r *api.Range) *api.Request {
	return &api.Request{Kind: api.Request_RANGE, Call: &api.Request_Range{Range: r}}
}

// create is a transaction that creates keys with a lease, if the first is absent.
func create(lease int64, keys ...string) *api.Request {
	txn := &api.Txn{Compares: []*api.Compare{{Span: single(keys[0]), Target: api.Compare_VERSION}}}
	for _, key := range keys {
		txn.Then = append(txn.Then, &api.TxnOp{Op: &api.TxnOp_Put{Put: &api.Put{Key: []byte(key), Value: []byte("v"), Lease: lease}}})
	}
	return &api.Request{Kind: api.Request_TXN, Call: &api.Request_Txn{Txn: txn}}
}

func inCluster(t *testing.T, f func(*cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, options{servers: 3, seed: 1})
		defer c.close()
		c.start(c.ids...)
		f(c)
	})
}

// Any server answers reads, and writes are for the leader.
func TestCallsOfAllServers(t *testing.T) {
	inCluster(t, func(c *cluster) {
		leader := c.leader()
		if r := c.must(create(0, "a", "b")); !r.GetTxn().Succeeded || r.Revision != 2 {
			t.Errorf("a transaction gets %v", r)
		}
		c.lease(api.Request_LEASE_GRANT, &api.Lease{Id: 5, TtlMs: 60_000})
		c.must(&api.Request{Kind: api.Request_COMPACT, Call: &api.Request_Compact{Compact: &api.Compact{Revision: 2}}})
		c.must(&api.Request{Kind: api.Request_SET_QUOTA, Call: &api.Request_Quota{Quota: &api.Quota{Bytes: 1}}})
		if r := c.ask(leader, create(0, "too much")); r.Code != api.Reply_QUOTA {
			t.Errorf("a transaction over the quota gets %v", r)
		}
		for _, id := range c.ids {
			r := c.ask(id, rangeRequest(&api.Range{Span: &api.Span{Open: true}}))
			if len(r.GetRange().GetEntries()) != 2 || r.Revision != 2 {
				t.Errorf("a range at server %s gets %v", id, r)
			}
			r = c.ask(id, &api.Request{Kind: api.Request_LEASE_TIME_TO_LIVE, Call: &api.Request_Lease{Lease: &api.Lease{Id: 5}}})
			if ttl := r.GetLease().GetTtlMs(); ttl < 50_000 || ttl > 60_000 {
				t.Errorf("the lease at server %s: %v", id, r)
			}
			s := c.server(id).replica.Status()
			if s.Leases != 1 || s.CompactedRevision != 2 || s.QuotaBytes != 1 || !slices.Equal(s.Alarms, []api.Alarm{api.Alarm_OVER_QUOTA}) || s.DbBytes == 0 {
				t.Errorf("the status of server %s: %v", id, s)
			}
			if id == leader {
				continue
			}
			for _, req := range []*api.Request{
				create(0, "c"),
				{Kind: api.Request_LEASE_GRANT, Call: &api.Request_Lease{Lease: &api.Lease{TtlMs: 1000}}},
				{Kind: api.Request_LEASE_KEEP_ALIVE, Call: &api.Request_Lease{Lease: &api.Lease{Id: 5}}},
			} {
				if r := c.ask(id, req); r.Code != api.Reply_WRONG_LEADER || r.GetLeader().GetNodeId() != uint64(leader) {
					t.Errorf("%s at server %s gets %v", req.Kind, id, r)
				}
			}
		}
	})
}

// A lease that is kept alive outlives its leaders. Then it ends, and not before its time.
func TestLeasesOutliveTheirLeaders(t *testing.T) {
	const ttl = 3 * time.Second
	inCluster(t, func(c *cluster) {
		c.lease(api.Request_LEASE_GRANT, &api.Lease{Id: 5, TtlMs: uint64(ttl.Milliseconds())})
		c.must(create(5, "a", "b"))
		renewed := time.Now()
		for i := range 12 {
			time.Sleep(time.Second)
			if i%4 == 3 {
				id := c.leader()
				c.kill(id)
				c.start(id)
			}
			if r := c.lease(api.Request_LEASE_KEEP_ALIVE, &api.Lease{Id: 5}); r.GetLease().GetTtlMs() != uint64(ttl.Milliseconds()) {
				t.Fatalf("after %d s the lease lives for %v", i, r)
			}
			renewed = time.Now()
		}
		keys := rangeRequest(&api.Range{Span: &api.Span{Open: true}})
		for c.must(keys).GetRange().Count == 2 {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(renewed); took < ttl-100*time.Millisecond || took > ttl+time.Second {
			t.Errorf("the lease ended %v after its last renewal", took)
		}
		r := c.must(keys)
		if r.GetRange().Count != 0 || r.Revision != 3 { // one revision for both keys
			t.Errorf("when the lease has ended: %v", r)
		}
		c.converge()
	})
}

// Nobody's lease ends for a time in which nobody leads.
func TestLeasesWaitForALeader(t *testing.T) {
	inCluster(t, func(c *cluster) {
		c.lease(api.Request_LEASE_GRANT, &api.Lease{Id: 5, TtlMs: 3000})
		c.must(create(5, "a"))
		for _, id := range c.ids {
			c.stop(id)
		}
		time.Sleep(time.Hour)
		c.start(c.ids...)
		if r := c.lease(api.Request_LEASE_KEEP_ALIVE, &api.Lease{Id: 5}); r.GetLease().GetTtlMs() != 3000 {
			t.Errorf("the lease lives for %v", r)
		}
		time.Sleep(2 * time.Second)
		c.must(&api.Request{Kind: api.Request_GET, Key: []byte("a")})
	})
}

// A write of a session is executed once, whoever leads and whatever restarts.
func TestSessionsOutliveTheirLeaders(t *testing.T) {
	inCluster(t, func(c *cluster) {
		c.lease(api.Request_LEASE_GRANT, &api.Lease{Id: 7, TtlMs: 600_000, Session: true})
		write := func(seq uint64) *api.Request {
			req := create(0, fmt.Sprintf("k%d", seq))
			req.Session = &api.Session{Id: 7, Seq: seq}
			return req
		}
		first := make([]*api.Reply, 4)
		for i := range first {
			first[i] = c.must(write(uint64(i + 1)))
		}
		for round := range 3 {
			switch round {
			case 1:
				c.kill(c.leader())
			case 2:
				c.killAll(true)
				c.start(c.ids...)
			}
			for i, before := range first {
				again := c.must(write(uint64(i + 1)))
				if again.DoneAt != before.Revision || !again.GetTxn().Succeeded {
					t.Errorf("round %d: write %d gets %v, before %v", round, i+1, again, before)
				}
			}
		}
		if r := c.ask(c.leader(), &api.Request{
			Kind: api.Request_PUT, Key: []byte("k"), Session: &api.Session{Id: 8, Seq: 1},
		}); r.Code != api.Reply_SESSION_ENDED {
			t.Errorf("a write of no session gets %v", r)
		}
	})
}
