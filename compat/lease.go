package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// grant grants a lease.
func (t *T) grant(ttl, id int64) int64 {
	resp := t.send(&pb.LeaseGrantRequest{TTL: ttl, ID: id})
	if r, ok := resp.(*pb.LeaseGrantResponse); ok {
		return r.ID
	}
	return 0
}

// keepAlive sends keep-alives on one stream, and returns the answers.
func (t *T) keepAlive(member int, ids ...int64) {
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	stream, err := pb.NewLeaseClient(t.conns[member]).LeaseKeepAlive(ctx)
	t.fail("keep alive", err)
	for _, id := range ids {
		t.fail("keep alive", stream.Send(&pb.LeaseKeepAliveRequest{ID: id}))
		r, err := stream.Recv()
		t.fail("kept alive", err)
		t.say("kept alive", "%s", t.masks.render(r))
	}
}

var leaseChecks = []check{
	{name: "lease/grant", run: func(t *T) {
		t.grant(60, 0)
		t.grant(60, 1001)
		t.grant(60, 1001)
		for _, ttl := range []int64{0, -1, 1, 9_000_000_000, 9_000_000_001, 1 << 62} {
			t.grant(ttl, 0)
		}
		t.grant(60, -5)
		t.send(&pb.LeaseRevokeRequest{ID: 1001})
		t.send(&pb.LeaseRevokeRequest{ID: 1001})
		t.send(&pb.LeaseRevokeRequest{ID: 0})
		t.send(&pb.LeaseRevokeRequest{ID: -5})
		t.grant(60, 1001)
		t.send(&pb.LeaseRevokeRequest{ID: 1001})
	}},
	{name: "lease/keys", run: func(t *T) {
		t.grant(100, 2001)
		t.grant(100, 2002)
		for _, k := range []string{"b", "a", "c"} {
			t.send(&pb.PutRequest{Key: t.b(k), Lease: 2001})
		}
		t.send(&pb.LeaseTimeToLiveRequest{ID: 2001})
		t.send(&pb.LeaseTimeToLiveRequest{ID: 2001, Keys: true})
		t.send(&pb.PutRequest{Key: t.b("a"), Lease: 2002})
		t.send(&pb.PutRequest{Key: t.b("b")})
		t.send(&pb.PutRequest{Key: t.b("c"), Value: []byte("kept"), IgnoreLease: true})
		t.send(&pb.LeaseTimeToLiveRequest{ID: 2001, Keys: true})
		t.send(&pb.LeaseTimeToLiveRequest{ID: 2002, Keys: true})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
		t.send(&pb.DeleteRangeRequest{Key: t.b("a"), PrevKv: true})
		t.send(&pb.LeaseTimeToLiveRequest{ID: 2002, Keys: true})
		t.send(&pb.PutRequest{Key: t.b("a"), Value: []byte("without")})
		t.send(&pb.LeaseRevokeRequest{ID: 2002})
		t.send(&pb.LeaseRevokeRequest{ID: 2001})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
		t.send(&pb.LeaseTimeToLiveRequest{ID: 2001, Keys: true})
		t.send(&pb.LeaseTimeToLiveRequest{ID: 0})
	}},
	{name: "lease/keys-in-txn", run: func(t *T) {
		t.grant(100, 2101)
		put := func(k string, lease int64) *pb.RequestOp {
			return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: t.b(k), Lease: lease}}}
		}
		t.send(&pb.TxnRequest{Success: ops(put("a", 2101), put("b", 2101), put("c", 0))})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{ifLease(t.b("a"), eq, 2101)}, Success: ops(put("a", 0))})
		t.send(&pb.LeaseTimeToLiveRequest{ID: 2101, Keys: true})
		t.send(&pb.LeaseRevokeRequest{ID: 2101})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
	}},
	{name: "lease/list", run: func(t *T) {
		t.grant(100, 2201)
		t.send(&pb.LeaseRevokeRequest{ID: 2201})
		resp, err := t.sendTo(1, &pb.LeaseLeasesRequest{})
		t.fail("list", err)
		t.say("listed", "%t", resp.(*pb.LeaseLeasesResponse).Header != nil)
	}, loose: true},
	{name: "lease/keep-alive", loose: true, run: func(t *T) {
		t.grant(50, 2301)
		t.settle()
		leads, follows := t.leader()
		t.keepAlive(leads, 2301, 2301, 99, 0)
		t.keepAlive(follows, 2301, 99)
		t.sendTo(0, &pb.LeaseRevokeRequest{ID: 2301})
		t.settle()
		t.keepAlive(follows, 2301)
	}},
	{name: "lease/expiry", loose: true, run: func(t *T) {
		begin := time.Now() // of the grant: the lease cannot begin before
		id := t.grant(1, 2401)
		t.fail("put", second(t.sendTo(0, &pb.PutRequest{Key: t.b("a"), Lease: id})))
		t.await("expired", func() bool { return t.count("a") == 0 })
		t.say("expired", "not before its time: %t", time.Since(begin) > time.Second)
		resp, err := t.sendTo(0, &pb.LeaseTimeToLiveRequest{ID: id})
		t.fail("time to live", err)
		t.say("time to live", "%s", t.masks.render(resp))
	}},
	{name: "lease/client", loose: true, run: func(t *T) {
		grant, err := t.client.Grant(t.ctx, 10) // kept alive each third of it
		t.fail("grant", err)
		ctx, cancel := context.WithCancel(t.ctx)
		ch, err := t.client.KeepAlive(ctx, grant.ID)
		t.fail("keep alive", err)
		_, err = t.client.Put(t.ctx, t.k("a"), "1", clientv3.WithLease(grant.ID))
		t.fail("put", err)
		for range 2 {
			r := <-ch
			t.say("alive", "%d", r.TTL)
		}
		cancel()
		once, err := t.client.KeepAliveOnce(t.ctx, grant.ID)
		t.fail("once", err)
		t.say("once", "%d", once.TTL)
		ttl, err := t.client.TimeToLive(t.ctx, grant.ID, clientv3.WithAttachedKeys())
		t.fail("time to live", err)
		t.say("time to live", "granted %d keys %q", ttl.GrantedTTL, attachedKeys(ttl))
		leases, err := t.client.Leases(t.ctx)
		t.fail("leases", err)
		found := false
		for _, l := range leases.Leases {
			found = found || l.ID == grant.ID
		}
		t.say("listed", "%t", found)
		_, err = t.client.Revoke(t.ctx, grant.ID)
		t.say("revoke", "%v", err)
		_, err = t.client.Revoke(t.ctx, grant.ID)
		t.say("revoke again", "%v", err)
		_, err = t.client.KeepAliveOnce(t.ctx, grant.ID)
		t.say("once more", "%v", err)
		ttl, err = t.client.TimeToLive(t.ctx, grant.ID)
		t.say("time to live", "%v %d", err, ttl.TTL)
	}},
	{name: "lease/many-keys", run: func(t *T) {
		t.grant(100, 2501)
		var puts []*pb.RequestOp
		for i := range 100 {
			puts = append(puts, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: t.b(fmt.Sprintf("k%02d", i)), Lease: 2501}}})
		}
		t.send(&pb.TxnRequest{Success: puts})
		t.send(&pb.LeaseRevokeRequest{ID: 2501})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), CountOnly: true})
	}},
}

// attachedKeys returns the keys of a lease in their order: etcd has them in that of a map.
func attachedKeys(r *clientv3.LeaseTimeToLiveResponse) [][]byte {
	return slices.SortedFunc(slices.Values(r.Keys), bytes.Compare)
}
