package loadgen

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// leaseTTL is so long that no lease of a load expires between two keep-alives, and so short
	// that those of a killed program are soon gone.
	leaseTTL = 10 * time.Minute
	// leaseCallers grant and revoke the leases.
	leaseCallers = 64
)

// grantLeases makes the leases of a load that keeps some alive, and returns how long that took.
func (r *run) grantLeases(ctx context.Context) (took time.Duration, err error) {
	if r.load.Operation != KeepAlive {
		return 0, nil
	}
	r.leases = make([]int64, r.load.Keys)
	start := time.Now()
	err = each(ctx, len(r.leases), func(ctx context.Context, i int) (err error) {
		ctx, cancel := r.bound(ctx)
		defer cancel()
		begin := time.Now()
		if r.leases[i], err = r.store(i).Grant(ctx, leaseTTL); err != nil {
			return fmt.Errorf("grant lease %d of %d: %w", i+1, len(r.leases), err)
		}
		r.record.shard(i).add(grant, time.Since(begin), "")
		return nil
	})
	return time.Since(start), err
}

// revokeLeases ends the leases. If it cannot they expire.
func (r *run) revokeLeases(ctx context.Context) {
	_ = each(ctx, len(r.leases), func(ctx context.Context, i int) error {
		if r.leases[i] == 0 {
			return nil
		}
		ctx, cancel := r.bound(ctx)
		defer cancel()
		return r.store(i).Revoke(ctx, r.leases[i])
	})
}

// each calls do with the numbers from 0 to n-1, leaseCallers at a time. It returns the first
// error, after which it begins nothing more.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var callers sync.WaitGroup
	for range min(n, leaseCallers) {
		callers.Go(func() {
			for i := int(next.Add(1) - 1); i < n && ctx.Err() == nil; i = int(next.Add(1) - 1) {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	callers.Wait()
	return context.Cause(ctx)
}
