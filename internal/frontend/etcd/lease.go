package etcd

import (
	"context"
	"errors"
	"io"
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

// LeaseRevoke ends a lease, and deletes its keys in one revision.
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
	if err := f.fresh(ctx); err != nil {
		return nil, err
	}
	store := f.cfg.Node.Store()
	h := f.origin().Header(store.Revision())
	var resp *pb.LeaseTimeToLiveResponse
	read := func() error {
		info, keys, ok := store.Lease(r.ID, r.Keys)
		resp = translate.TimeToLiveResponse(h, r.ID, info, keys, ok)
		return nil
	}
	if !r.Keys {
		return resp, read()
	}
	if err := f.access.Lease(c.user, r.ID, false, read); err != nil {
		return nil, translate.ReadFailed(err)
	}
	return resp, nil
}

// LeaseLeases lists all leases. Unlike etcd's, the list is as new as any other read.
func (f *Face) LeaseLeases(ctx context.Context, c *Caller, _ *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	if err := f.fresh(ctx); err != nil {
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

// maxStreamKeepAlives bounds the keep-alives of one stream that wait. While there are so many no
// further one is received.
const maxStreamKeepAlives = 256

// keptAlive is what became of a keep-alive.
type keptAlive struct {
	response *pb.LeaseKeepAliveResponse
	err      error
}

// LeaseKeepAlive lets leases live on. Keep-alives that come together are proposed together, and
// answered in the order in which they came.
func (f *Face) LeaseKeepAlive(c *Caller, s Stream) error {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	answers := make(chan chan keptAlive, maxStreamKeepAlives)
	received := make(chan error, 1)
	go func() {
		defer close(answers)
		received <- f.receiveKeepAlives(ctx, c, s, answers)
	}()
	var leaderless <-chan struct{}
	if c.RequireLeader && f.cfg.Watches.Leaderless != nil {
		leaderless = f.cfg.Watches.Leaderless()
	}
	for {
		a, err := nextKeepAlive(ctx, leaderless, answers)
		switch {
		case err == io.EOF:
			return <-received
		case err != nil:
			return err
		}
		if err := s.Send(a); err != nil {
			return err
		}
	}
}

// nextKeepAlive waits for the next answer. Its error is io.EOF when there are no more.
func nextKeepAlive(ctx context.Context, leaderless <-chan struct{}, answers <-chan chan keptAlive) (*pb.LeaseKeepAliveResponse, error) {
	var answer chan keptAlive
	select {
	case answer = <-answers:
	case <-leaderless:
		return nil, translate.ErrNoLeader
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if answer == nil {
		return nil, io.EOF
	}
	select {
	case a := <-answer:
		return a.response, a.err
	case <-leaderless:
		return nil, translate.ErrNoLeader
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// receiveKeepAlives starts what it receives, and lets answers have a channel for each.
func (f *Face) receiveKeepAlives(ctx context.Context, c *Caller, s Stream, answers chan<- chan keptAlive) error {
	for {
		r := new(pb.LeaseKeepAliveRequest)
		if err := s.Receive(r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		answer := make(chan keptAlive, 1)
		select {
		case answers <- answer:
		case <-ctx.Done():
			return ctx.Err()
		}
		go func() { answer <- f.keepAlive(ctx, c, r.ID) }()
	}
}

// keepAlive has a header from before the lease is renewed: else a client could believe in a lease
// at a revision at which it was gone.
func (f *Face) keepAlive(ctx context.Context, c *Caller, id int64) keptAlive {
	h := f.origin().Header(f.cfg.Node.Store().Revision())
	limited, cancel := context.WithTimeout(ctx, f.requestTimeout())
	defer cancel()
	var ttl int64
	err := f.access.Lease(c.user, id, true, func() (err error) {
		ttl, err = f.cfg.Node.KeepAlive(limited, id)
		return err
	})
	if err != nil {
		return keptAlive{err: failed(err, translate.ReadFailed)}
	}
	return keptAlive{response: translate.KeepAliveResponse(h, id, ttl)}
}
