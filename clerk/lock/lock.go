// Package lock makes mutual exclusion out of a Clerk's Get and Put.
//
// A lock is a key: free if it is absent or its value empty, else held by the owner that
// the value names. Taking and releasing it are Puts at the version just read, so that of
// several owners that find it free one succeeds. The key is never deleted, and its version
// only grows: a Put that arrives late finds it changed and does nothing.
//
// There is no lease. The lock of an owner that vanishes stays held until someone writes
// an empty value to the key.
package lock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"balsa.example/clerk"
)

// ErrNotHeld: Release found the lock free or held by another.
var ErrNotHeld = errors.New("lock is not held")

// Store is what a lock needs of a Clerk.
type Store interface {
	Get(ctx context.Context, key string, opts ...clerk.ReadOption) (clerk.KV, error)
	Put(ctx context.Context, key string, value []byte, version uint64) (clerk.KV, error)
}

// How long to wait before looking again at a lock that another holds.
const (
	firstWait = 5 * time.Millisecond
	maxWait   = 100 * time.Millisecond
)

// Lock is one owner's handle of a lock. It is for one goroutine at a time; owners that
// compete have a Lock each.
type Lock struct {
	store Store
	key   string
	owner string // what the key's value is while we hold it

	// While unsure, a Put of ours at version at may have been executed, or may be yet. It
	// is settled once the key is seen past that version.
	unsure bool
	at     uint64
}

// New returns a handle of the lock kept under key. It belongs to a new owner.
func New(store Store, key string) *Lock {
	return &Lock{store: store, key: key, owner: fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())}
}

// Acquire takes the lock, and waits for it as long as ctx allows. If it fails with an
// error that matches clerk.ErrMaybe the lock may be ours, or become so: then call
// Acquire again, or Release.
func (l *Lock) Acquire(ctx context.Context) error {
	wait := firstWait
	for {
		kv, err := l.read(ctx)
		if err != nil {
			return l.failed("acquire", err)
		}
		held := string(kv.Value)
		if held == l.owner && !l.unsure {
			return nil // an earlier Put of ours did it, though it could not say so
		}
		if held == "" || held == l.owner { // free, or a late Put may yet free it
			if done, err := l.write(ctx, l.owner, kv.Version); done || err != nil {
				return l.failed("acquire", err)
			}
			wait = firstWait
			continue
		}
		if err := sleep(ctx, wait); err != nil {
			return l.failed("acquire", err)
		}
		wait = min(2*wait, maxWait)
	}
}

// Release gives the lock back, or fails with ErrNotHeld if it was not ours. After any
// other error it may still be ours: call it again.
func (l *Lock) Release(ctx context.Context) error {
	result := ErrNotHeld
	for {
		kv, err := l.read(ctx)
		if err != nil {
			return l.failed("release", err)
		}
		held := string(kv.Value)
		if held == l.owner {
			result = nil
		} else if held != "" || !l.unsure {
			return result
		}
		// Of a free lock too, if a late Put of ours may take it: a new version stops that.
		if done, err := l.write(ctx, "", kv.Version); done {
			return result
		} else if err != nil {
			return l.failed("release", err)
		}
	}
}

// read returns the lock's key as it is; an absent one is free, at version 0.
func (l *Lock) read(ctx context.Context) (clerk.KV, error) {
	kv, err := l.store.Get(ctx, l.key)
	if errors.Is(err, clerk.ErrNoKey) {
		err = nil
	}
	if err == nil && kv.Version > l.at {
		l.unsure = false
	}
	return kv, err
}

// write puts a value at a version. Done means that it certainly took effect. If it is
// neither done nor failed, the key must be read again.
func (l *Lock) write(ctx context.Context, value string, version uint64) (done bool, err error) {
	_, err = l.store.Put(ctx, l.key, []byte(value), version)
	switch {
	case err == nil:
		l.unsure = false
		return true, nil
	case errors.Is(err, clerk.ErrMaybe):
		l.unsure, l.at = true, version
		if ctx.Err() == nil {
			err = nil
		}
	case errors.Is(err, clerk.ErrVersion), errors.Is(err, clerk.ErrNoKey):
		err = nil
	}
	return false, err
}

// failed says what could not be done, and whether it may have been done nevertheless.
func (l *Lock) failed(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case l.unsure && !errors.Is(err, clerk.ErrMaybe):
		return fmt.Errorf("%s lock %q: %w: %w", what, l.key, clerk.ErrMaybe, err)
	default:
		return fmt.Errorf("%s lock %q: %w", what, l.key, err)
	}
}

// sleep waits for about d, so that owners do not look all at once.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
