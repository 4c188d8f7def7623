package clerk

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"balsa.example/api"
)

const (
	// maxRenewalRequests is how many requests for keep-alives are under way at a time. What is asked
	// for meanwhile goes into the next one.
	maxRenewalRequests = 2
	// maxLeasesAtOnce is how many leases a server keeps alive by one request.
	maxLeasesAtOnce = 1 << 10
)

// renewals puts keep-alives that are asked for at the same time into one request. A caller sends its
// own, at once, while few requests are under way. Else it waits, until one of those who wait is told
// to send the request of all of them.
//
// If that fails each asks by itself: the sender's context may have ended, or one lease may be of
// another user.
type renewals struct {
	clerk *Clerk

	mu      sync.Mutex
	running int
	waiting []*renewal // only while running is at its most
}

// renewal is a keep-alive that waits.
type renewal struct {
	lease int64
	told  chan renewed // capacity 1
	gone  bool         // it waits no more; guarded by renewals.mu
}

// renewed is what a renewal is told.
type renewed struct {
	ttl    time.Duration // 0: there is no such lease
	failed bool          // the request of all has
	// send: the renewal is to send the request for these, of which it is the first.
	send []*renewal
}

func (r *renewals) keepAlive(ctx context.Context, lease int64) (time.Duration, error) {
	own := &renewal{lease: lease}
	r.mu.Lock()
	if r.running < maxRenewalRequests {
		r.running++
		r.mu.Unlock()
		return r.send(ctx, []*renewal{own})
	}
	own.told = make(chan renewed, 1)
	r.waiting = append(r.waiting, own)
	r.mu.Unlock()
	select {
	case told := <-own.told:
		switch {
		case told.send != nil:
			return r.send(ctx, told.send)
		case !told.failed:
			return told.ttl, r.clerk.unlessGone(lease, told.ttl)
		}
	case <-ctx.Done():
		r.giveUp(own)
	}
	return r.clerk.keepAlive(ctx, lease)
}

// send sends the request for some renewals, the first of which is the caller's.
func (r *renewals) send(ctx context.Context, all []*renewal) (ttl time.Duration, err error) {
	if len(all) == 1 {
		defer r.next()
		return r.clerk.keepAlive(ctx, all[0].lease)
	}
	ttls, err := r.clerk.keepAllAlive(ctx, all)
	r.next()
	for i, other := range all[1:] {
		if err != nil {
			other.told <- renewed{failed: true}
		} else {
			other.told <- renewed{ttl: ttls[i+1]}
		}
	}
	if err != nil {
		return r.clerk.keepAlive(ctx, all[0].lease)
	}
	return ttls[0], r.clerk.unlessGone(all[0].lease, ttls[0])
}

// next ends a request, and lets the first of those who wait send the next one.
func (r *renewals) next() {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.waiting), maxLeasesAtOnce)
	if n == 0 {
		r.running--
		return
	}
	all := r.waiting[:n:n]
	if r.waiting = r.waiting[n:]; len(r.waiting) == 0 {
		r.waiting = nil
	}
	all[0].told <- renewed{send: all}
}

// giveUp is for a renewal that waits no more. If it was told to send, another one is: of those that it was
// to send for, some may have given up before.
func (r *renewals) giveUp(own *renewal) {
	r.mu.Lock()
	own.gone = true
	for i, other := range r.waiting {
		if other == own {
			r.waiting = append(r.waiting[:i:i], r.waiting[i+1:]...)
			break
		}
	}
	r.mu.Unlock()
	select {
	case told := <-own.told:
		if told.send != nil {
			r.mu.Lock()
			wait := slices.DeleteFunc(slices.Clone(told.send), func(other *renewal) bool { return other.gone })
			r.waiting = append(wait, r.waiting...)
			r.mu.Unlock()
			r.next()
		}
	default: // it was not told anything, or is in a request
	}
}

// keepAlive asks for one lease.
func (c *Clerk) keepAlive(ctx context.Context, lease int64) (time.Duration, error) {
	call := api.NewLeaseCall()
	call.Lease.Id = lease
	r, err := c.do(ctx, &api.Request{Kind: api.Request_LEASE_KEEP_ALIVE, Call: call})
	if err != nil {
		return 0, err
	}
	return milliseconds(r.GetLease().GetTtlMs()), nil
}

// keepAllAlive asks for several leases. A time to live of 0 says that there is no such lease.
func (c *Clerk) keepAllAlive(ctx context.Context, all []*renewal) ([]time.Duration, error) {
	lease := &api.Lease{Id: all[0].lease}
	for _, other := range all[1:] {
		lease.Others = append(lease.Others, other.lease)
	}
	req := leaseRequest(api.Request_LEASE_KEEP_ALIVE, lease)
	r, err := c.do(ctx, req)
	if err != nil {
		return nil, err
	}
	others := r.GetLease().GetOthersTtlMs()
	if len(others) != len(lease.Others) {
		return nil, failure(req, errors.New("the server has answered for some leases only"))
	}
	ttls := []time.Duration{milliseconds(r.GetLease().GetTtlMs())}
	for _, ttl := range others {
		ttls = append(ttls, milliseconds(ttl))
	}
	return ttls, nil
}

func (c *Clerk) unlessGone(lease int64, ttl time.Duration) error {
	if ttl > 0 {
		return nil
	}
	return failure(leaseRequest(api.Request_LEASE_KEEP_ALIVE, &api.Lease{Id: lease}), ErrNoLease)
}
