package clerk

import (
	"context"
	"fmt"
	"iter"
	"time"

	"balsa.example/api"
)

// Lease is a lease that this Clerk keeps alive. Keys that hang on it, by WithLease, are deleted
// when it ends.
type Lease struct {
	clerk *Clerk
	id    int64
	ttl   time.Duration
	done  chan struct{} // closed when the Clerk no longer knows that it lives
}

func (c *Clerk) lease(id int64, ttl time.Duration) *Lease {
	return &Lease{clerk: c, id: id, ttl: ttl, done: make(chan struct{})}
}

// Grant makes a lease that lives until it is revoked, or is not kept alive for ttl. The Clerk
// keeps it alive until Revoke or Close. A server may raise a short ttl: see Lease.TTL.
func (c *Clerk) Grant(ctx context.Context, ttl time.Duration) (*Lease, error) {
	return c.grant(ctx, ttl, false)
}

// GrantID is Grant with the id of a lease that may exist. If it does the Clerk keeps it alive from
// now on, with the time to live that it has. If this Clerk does so already, GrantID returns the
// same Lease again. An id is above 0.
func (c *Clerk) GrantID(ctx context.Context, id int64, ttl time.Duration) (*Lease, error) {
	if id <= 0 {
		return nil, fmt.Errorf("grant: %w: lease %d", ErrInvalid, id)
	}
	for {
		l, err := c.grantOnce(ctx, id, ttl, false)
		if !isRefusal(err, ErrLeaseExists) {
			return l, err
		}
		l = c.lease(id, ttl)
		asked := c.keeper.now()
		if l.ttl, err = c.KeepAlive(ctx, id); err == nil {
			return c.keeper.add(l, asked, false)
		}
		if !isRefusal(err, ErrNoLease) { // else it has just ended
			return nil, err
		}
	}
}

func (c *Clerk) grant(ctx context.Context, ttl time.Duration, session bool) (*Lease, error) {
	for {
		l, err := c.grantOnce(ctx, 0, ttl, session)
		if !isRefusal(err, ErrLeaseExists) {
			return l, err
		}
	}
}

// grantOnce asks for a lease. Without an id each attempt asks for one of its own.
func (c *Clerk) grantOnce(ctx context.Context, id int64, ttl time.Duration, session bool) (*Lease, error) {
	if ttl < time.Millisecond {
		return nil, fmt.Errorf("grant: %w: %v, at least 1ms", ErrLeaseTTL, ttl)
	}
	call := &api.Lease{Id: id, TtlMs: uint64(ttl.Milliseconds()), Session: session}
	asked := c.keeper.now()
	r, err := c.do(ctx, leaseRequest(api.Request_LEASE_GRANT, call))
	if err == nil && r.GetCode() == api.Reply_LEASE_EXISTS {
		err = ErrLeaseExists // by an attempt before, or by somebody else and with another time to live
	}
	if err != nil {
		return nil, err
	}
	l := c.lease(r.GetLease().GetId(), ttl)
	if granted := r.GetLease().GetTtlMs(); granted > 0 {
		l.ttl = milliseconds(granted)
	}
	return c.keeper.add(l, asked, true)
}

// drawLease returns the id of a new lease. No id is drawn twice, by any Clerk. Caller holds mu.
func (c *Clerk) drawLease() int64 {
	return int64(c.rand.Uint64()>>1) | 1
}

func leaseRequest(kind api.Request_Kind, l *api.Lease) *api.Request {
	return &api.Request{Kind: kind, Call: &api.Request_Lease{Lease: l}}
}

func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, uint64(1<<63-1)/uint64(time.Millisecond))) * time.Millisecond
}

// ID is the lease's id, above 0.
func (l *Lease) ID() int64 { return l.id }

// TTL is how long the lease lives after it was last kept alive.
func (l *Lease) TTL() time.Duration { return l.ttl }

// Done is closed when the lease has ended, or may end at any time: it was revoked, or has
// expired, or no server was reached for the time to live, or the Clerk was closed. From then on
// its keys may be gone.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Lost tells whether Done is closed.
func (l *Lease) Lost() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// Revoke ends the lease, and deletes its keys, in one revision up to 1.9 GiB of them. It is ErrNoLease if it had
// ended; but not if a reply was lost, since then this Revoke may have ended it. If Revoke fails
// the lease is not kept alive any more.
func (l *Lease) Revoke(ctx context.Context) error {
	l.clerk.keeper.remove(l)
	return l.clerk.Revoke(ctx, l.id)
}

// Abandon ends the lease as Revoke does, and does not wait for it. Close does, for a short time.
// Where no server can be reached the lease expires.
func (l *Lease) Abandon() { l.clerk.keeper.abandon(l) }

// Revoke ends a lease, and deletes its keys, in one revision up to 1.9 GiB of them.
func (c *Clerk) Revoke(ctx context.Context, lease int64) error {
	_, err := c.do(ctx, leaseRequest(api.Request_LEASE_REVOKE, &api.Lease{Id: lease}))
	return err
}

// KeepAlive lets a lease live for its whole time to live from now on, once, and returns that
// time. A lease of Grant needs no KeepAlive.
func (c *Clerk) KeepAlive(ctx context.Context, lease int64) (ttl time.Duration, err error) {
	if lease <= 0 {
		return c.keepAlive(ctx, lease) // which says what is wrong with it
	}
	return c.renewals.keepAlive(ctx, lease)
}

// LeaseInfo describes a lease.
type LeaseInfo struct {
	ID int64
	// Left is how long the lease lives if it is not kept alive, Granted its whole time to live.
	Left, Granted time.Duration
	Session       bool
	// Keys are those that hang on the lease, in their order. More tells that there are others,
	// which a reply has no room for.
	Keys []string
	More bool
}

// TimeToLive tells about a lease.
func (c *Clerk) TimeToLive(ctx context.Context, lease int64) (LeaseInfo, error) {
	r, err := c.do(ctx, leaseRequest(api.Request_LEASE_TIME_TO_LIVE, &api.Lease{Id: lease, Keys: true}))
	if err != nil {
		return LeaseInfo{}, err
	}
	l := r.GetLease()
	info := LeaseInfo{
		ID: lease, Left: milliseconds(l.GetTtlMs()), Granted: milliseconds(l.GetGrantedMs()),
		Session: l.GetSession(), More: l.GetMore(),
	}
	for _, key := range l.GetKeys() {
		info.Keys = append(info.Keys, string(key))
	}
	return info, nil
}

// Leases iterates over the ids of all leases, in their order. An error is the last thing that it
// yields.
func (c *Clerk) Leases(ctx context.Context) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for above := int64(0); ; {
			r, err := c.do(ctx, leaseRequest(api.Request_LEASES, &api.Lease{Id: above}))
			if err != nil {
				yield(0, err)
				return
			}
			for _, id := range r.GetLeases().GetIds() {
				if !yield(id, nil) {
					return
				}
				above = id
			}
			if !r.GetLeases().GetMore() {
				return
			}
		}
	}
}
