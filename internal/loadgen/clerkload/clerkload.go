// Package clerkload makes a Clerk a system that loads can be put on.
package clerkload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/loadgen"
)

// System is a Clerk as a loadgen.Store.
type System struct {
	clerk  *clerk.Clerk
	reads  []clerk.ReadOption
	leases *sync.Map // id to *clerk.Lease, of those that were granted and not revoked
}

var _ loadgen.Store = System{}

// New returns a system whose gets and ranges have options.
func New(c *clerk.Clerk, reads ...clerk.ReadOption) System { return System{c, reads, new(sync.Map)} }

// Put is part of loadgen.System.
func (s System) Put(ctx context.Context, key string, value []byte) error {
	_, err := s.clerk.Set(ctx, key, value)
	return err
}

// Get is part of loadgen.System.
func (s System) Get(ctx context.Context, key string) error {
	_, err := s.clerk.Get(ctx, key, s.reads...)
	return unlessNoKey(err)
}

func unlessNoKey(err error) error {
	if errors.Is(err, clerk.ErrNoKey) {
		return nil
	}
	return err
}

// Txn is part of loadgen.Store.
func (s System) Txn(ctx context.Context, key string, value []byte) error {
	r, err := s.clerk.Txn(ctx).If(clerk.Exists(key)).Then(clerk.OpPut(key, value)).Commit()
	if err == nil && !r.Succeeded {
		err = fmt.Errorf("transaction on %s: %w", key, clerk.ErrNoKey)
	}
	return err
}

// Update is part of loadgen.Store.
func (s System) Update(ctx context.Context, key string, value []byte) error {
	return s.clerk.Update(ctx, func(tx *clerk.Tx) error {
		if _, err := tx.Get(key); unlessNoKey(err) != nil {
			return err
		}
		tx.Put(key, value)
		return nil
	})
}

// Range is part of loadgen.Store.
func (s System) Range(ctx context.Context, first, last string) error {
	options := make([]clerk.RangeOption, len(s.reads))
	for i, o := range s.reads {
		options[i] = o
	}
	for _, err := range s.clerk.Range(ctx, clerk.Span{From: first, To: clerk.Key(last).To}, options...) {
		if err != nil {
			return err
		}
	}
	return nil
}

// Grant is part of loadgen.Store. The Clerk keeps the lease alive, too, each third of the ttl.
func (s System) Grant(ctx context.Context, ttl time.Duration) (int64, error) {
	l, err := s.clerk.Grant(ctx, ttl)
	if err != nil {
		return 0, err
	}
	s.leases.Store(l.ID(), l)
	return l.ID(), nil
}

// KeepAlive is part of loadgen.Store.
func (s System) KeepAlive(ctx context.Context, id int64) error {
	_, err := s.clerk.KeepAlive(ctx, id)
	return err
}

// Revoke is part of loadgen.Store. It also ends the Clerk's own keep-alives of the lease.
func (s System) Revoke(ctx context.Context, id int64) error {
	if l, ok := s.leases.LoadAndDelete(id); ok {
		return l.(*clerk.Lease).Revoke(ctx)
	}
	return s.clerk.Revoke(ctx, id)
}

// Watch is part of loadgen.Store.
func (s System) Watch(ctx context.Context, prefix string, deliver func(value []byte)) error {
	for changes, err := range s.clerk.Watch(ctx, clerk.Prefix(prefix), clerk.NoDeletes()) {
		if err != nil {
			return err
		}
		for _, e := range changes.Events {
			deliver(e.Value)
		}
	}
	return ctx.Err()
}
