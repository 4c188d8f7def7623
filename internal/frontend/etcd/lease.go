package etcd

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
)

var leaseMethods = []Method{
	unary("/etcdserverpb.Lease/LeaseGrant", User, (*Face).LeaseGrant),
	unary("/etcdserverpb.Lease/LeaseRevoke", ByKeys, (*Face).LeaseRevoke),
	stream[pb.LeaseKeepAliveRequest]("/etcdserverpb.Lease/LeaseKeepAlive", ByKeys, true, (*Face).LeaseKeepAlive),
	unary("/etcdserverpb.Lease/LeaseTimeToLive", ByKeys, (*Face).LeaseTimeToLive),
	unary("/etcdserverpb.Lease/LeaseLeases", ByKeys, (*Face).LeaseLeases),
}

// drawLease returns an id for a new lease, which is never given out again.
func drawLease() int64 { return rand.Int64N(math.MaxInt64-1) + 1 }

// LeaseGrant makes a lease.
func (f *Face) LeaseGrant(ctx context.Context, c *Caller, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	command, err := translate.Grant(r, translate.MinTTL(int64(f.cfg.ElectionTimeout)), drawLease)
	if err != nil {
		return nil, err
	}
	result, err := f.submit(ctx, c, command)
	if err != nil {
		return nil, err
	}
	return translate.GrantResponse(f.origin(), command, &result)
}

// LeaseRevoke ends a lease, and deletes its keys, in one revision if they fit into it (see kv.Store.DeleteKeys).
func (f *Face) LeaseRevoke(ctx context.Context, c *Caller, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	command, err := translate.Revoke(r)
	if err != nil {
		return nil, err
	}
	result, err := f.submit(ctx, c, command)
	if err != nil {
		return nil, err
	}
	return translate.RevokeResponse(f.origin(), &result)
}

// LeaseTimeToLive tells what a lease has left.
func (f *Face) LeaseTimeToLive(ctx context.Context, c *Caller, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	if err := f.freshFor(ctx, c); err != nil {
		return nil, err
	}
	store := f.cfg.Node.Store()
	h := f.origin().Header(store.Revision())
	if !r.Keys {
		info, _, ok := store.Lease(r.ID, false)
		return translate.TimeToLiveResponse(h, r.ID, info, nil, ok), nil
	}
	var resp *pb.LeaseTimeToLiveResponse
	err := f.access.Lease(c.user, r.ID, false, func() error {
		return f.reading(ctx, func(maxBytes int64) (fits bool, _ error) {
			info, keys, ok := store.Lease(r.ID, true)
			for _, key := range keys {
				maxBytes -= int64(len(key))
			}
			if fits = maxBytes >= 0; fits {
				resp = translate.TimeToLiveResponse(h, r.ID, info, keys, ok)
			}
			return fits, nil
		})
	})
	if err != nil {
		return nil, translate.ReadFailed(err)
	}
	return resp, nil
}

// LeaseLeases lists all leases. Unlike etcd's, the list is as new as any other read.
func (f *Face) LeaseLeases(ctx context.Context, c *Caller, _ *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	if err := f.freshFor(ctx, c); err != nil {
		return nil, err
	}
	store := f.cfg.Node.Store()
	h := f.origin().Header(store.Revision())
	ids := store.Leases()
	if !f.access.Root(c.user) {
		// Whoever knows the id of a session of the native API could spoil it.
		ids = slices.DeleteFunc(ids, func(id int64) bool {
			info, _, ok := store.Lease(id, false)
			return !ok || info.Session
		})
		if err := f.access.Leases(c.user, ids); err != nil {
			return nil, translate.ReadFailed(err)
		}
	}
	return translate.LeasesResponse(h, ids), nil
}
