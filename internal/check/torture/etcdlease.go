package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"

	"balsa.example/clerk"
	"balsa.example/internal/check/history"
)

// etcdHolder holds one lease of the etcd API after the other, with a key. It keeps a lease alive for a
// while, revokes it or not, and looks when it ends.
type etcdHolder struct {
	l      *load
	client *etcdClient
	record *etcdRecord
	rng    *rand.Rand
}

// run holds leases as long as the epoch runs. The last one has ended when it returns.
func (h *etcdHolder) run(prefix string) {
	for n := 0; h.l.goesOn(); n++ {
		if err := h.hold(fmt.Sprintf("%s-%d", prefix, n)); err != nil {
			h.l.explain(err)
			h.l.sleep(50 * time.Millisecond)
		}
	}
	h.client.close()
}

// hold holds one lease. An error ends that.
func (h *etcdHolder) hold(key string) error {
	lease, err := h.grant(key)
	if err != nil {
		return err
	}
	for range h.rng.IntN(5) {
		h.l.sleep(time.Duration(lease.TTL / 3))
		if err := h.keepAlive(lease); err != nil {
			h.l.explain(err)
			break
		}
		if err := h.look(lease); err != nil {
			h.l.explain(err)
		}
	}
	if h.rng.IntN(2) == 0 {
		if err := h.revoke(lease); err != nil {
			h.l.explain(err)
		}
	}
	return h.waitUntilGone(lease)
}

// grant grants a lease, and puts its key.
func (h *etcdHolder) grant(key string) (*etcdLease, error) {
	var granted *pb.LeaseGrantResponse
	called := h.record.now()
	err := h.call(func(ctx context.Context) (err error) {
		granted, err = pb.NewLeaseClient(h.client.conn).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(1 + h.rng.IntN(2))})
		return err
	})
	if err != nil {
		return nil, err
	}
	lease := &etcdLease{Lease: history.Lease{ID: granted.ID, TTL: granted.TTL * int64(time.Second)}, key: key, value: key}
	lease.Kept = []history.Interval{{Called: called, Returned: h.record.now()}}
	h.record.grant(lease)
	var put *pb.TxnResponse
	called = h.record.now()
	err = h.call(func(ctx context.Context) (err error) {
		put, err = h.client.txn(ctx, h.client.conn, 0, &pb.PutRequest{Key: []byte(key), Value: []byte(lease.value), Lease: lease.ID})
		return err
	})
	switch {
	case err != nil:
		h.ended(err, lease, called)
		return nil, err // its key may be put, or not
	case !put.Succeeded:
		return nil, fmt.Errorf("%q is there before it was put", key)
	}
	h.record.note(&lease.Seen, called, h.record.now())
	return lease, nil
}

// call makes a call, at the next server if that of the last one did not answer.
func (h *etcdHolder) call(do func(context.Context) error) error {
	if _, err := h.client.connection(h.l.ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(h.l.ctx, etcdPatience)
	defer cancel()
	if err := do(ctx); err != nil {
		if isLeaseNotFound(err) {
			return errLeaseEnded
		}
		return h.client.failed(err, errAway)
	}
	return nil
}

var (
	// errLeaseEnded: a server says that there is no such lease.
	errLeaseEnded = errors.New("the lease has ended")
	errOutlives   = errors.New("a lease has outlived its time")
)

func isLeaseNotFound(err error) bool {
	return status.Convert(err).Message() == status.Convert(rpctypes.ErrGRPCLeaseNotFound).Message()
}

// ended notes the end of a lease if that is what an answer says.
func (h *etcdHolder) ended(err error, lease *etcdLease, called int64) bool {
	if !errors.Is(err, errLeaseEnded) {
		return false
	}
	h.record.note(&lease.Gone, called, h.record.now())
	return true
}

func (h *etcdHolder) keepAlive(lease *etcdLease) error {
	var kept *pb.LeaseKeepAliveResponse
	called := h.record.now()
	err := h.call(func(ctx context.Context) error {
		stream, err := pb.NewLeaseClient(h.client.conn).LeaseKeepAlive(ctx)
		if err != nil {
			return err
		}
		if err = stream.Send(&pb.LeaseKeepAliveRequest{ID: lease.ID}); err == nil {
			kept, err = stream.Recv()
		}
		return err
	})
	returned := h.record.now()
	switch {
	case err != nil:
		h.record.note(&lease.Kept, called, etcdNever)
	case kept.TTL <= 0:
		h.record.note(&lease.Gone, called, returned)
		return errLeaseEnded
	default:
		h.record.note(&lease.Kept, called, returned)
		h.record.note(&lease.Seen, called, returned)
	}
	return err
}

func (h *etcdHolder) revoke(lease *etcdLease) error {
	called := h.record.now()
	err := h.call(func(ctx context.Context) error {
		_, err := pb.NewLeaseClient(h.client.conn).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: lease.ID})
		return err
	})
	switch {
	case h.ended(err, lease, called), errors.Is(err, errRefused):
		return nil
	case err != nil:
		h.record.note(&lease.Revoked, called, etcdNever)
	default:
		h.record.note(&lease.Revoked, called, h.record.now())
	}
	return err
}

// look looks whether the lease has its key still.
func (h *etcdHolder) look(lease *etcdLease) error {
	called := h.record.now()
	_, err := h.client.Get(h.l.ctx, lease.key)
	switch {
	case errors.Is(err, clerk.ErrNoKey):
		h.record.note(&lease.Gone, called, h.record.now())
		return errLeaseEnded
	case err == nil:
		h.record.note(&lease.Seen, called, h.record.now())
	}
	return err
}

// waitUntilGone looks until the lease has ended. When the epoch is over there is no fault, so that it ends in time.
func (h *etcdHolder) waitUntilGone(lease *etcdLease) error {
	var over time.Time
	for {
		err := h.look(lease)
		if errors.Is(err, errLeaseEnded) {
			return nil
		}
		h.l.explain(err)
		if !h.l.goesOn() && over.IsZero() {
			over = time.Now()
		}
		if !over.IsZero() && time.Since(over) > time.Duration(lease.TTL)+h.l.o.heal || h.l.ctx.Err() != nil {
			return fmt.Errorf("%w: lease %d of %q, after its time to live of %v and %v", errOutlives, lease.ID, lease.key, time.Duration(lease.TTL), h.l.o.heal)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
