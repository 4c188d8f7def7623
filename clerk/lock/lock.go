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

// Store is the part of a Clerk that a lock needs.
type Store interface {
	Get(ctx context.Context, key string, opts ...clerk.ReadOption) (clerk.KV, error)
	Put(ctx context.Context, key string, value []byte, version uint64, opts ...clerk.PutOption) (clerk.KV, error)
}

// How long to wait before a lock that another owner holds is read again.
const (
	firstWait = 5 * time.Millisecond
	maxWait   = 100 * time.Millisecond
)

// Lock is one owner's handle of a lock that needs nothing but Get and Put. It is for one
// goroutine at a time; owners that compete have a Lock each.
//
// Such a lock is a key. It is free if the key is absent or its value empty, else it is held by
// the owner that the value names. Acquire and Release are Puts at the version just read, so that
// only one of several owners that find the lock free gets it. The key is never deleted, so
// that its version only grows: a Put that arrives late is refused.
//
// There is no lease. If an owner ends without Release, the lock is held until somebody writes
// an empty value to the key.
type Lock struct {
	store Store
	key   string
	owner string // what the key's value is while we hold it

	// If inDoubt, our Put at the version doubtAt may have been executed, or may be yet. The
	// doubt ends when the key is read at a higher version.
	inDoubt bool
	doubtAt uint64
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
		if held == l.owner && !l.inDoubt {
			return nil // by an earlier Put of ours that ended in ErrMaybe
		}
		if held == "" || held == l.owner { // free, or a late Put of ours may still free it
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
		} else if held != "" || !l.inDoubt {
			return result
		}
		// A free lock is written too, if a late Put of ours may still take it: the new version
		// prevents that.
		if done, err := l.write(ctx, "", kv.Version); done {
			return result
		} else if err != nil {
			return l.failed("release", err)
		}
	}
}

// read reads the lock's key. An absent key is a free lock at version 0.
func (l *Lock) read(ctx context.Context) (clerk.KV, error) {
	kv, err := l.store.Get(ctx, l.key)
	if errors.Is(err, clerk.ErrNoKey) {
		err = nil
	}
	if err == nil && kv.Version > l.doubtAt {
		l.inDoubt = false
	}
	return kv, err
}

// write puts a value at a version. done means that it certainly took effect. If it is neither
// done nor failed, the key must be read again.
func (l *Lock) write(ctx context.Context, value string, version uint64) (done bool, err error) {
	_, err = l.store.Put(ctx, l.key, []byte(value), version)
	switch {
	case err == nil:
		l.inDoubt = false
		return true, nil
	case errors.Is(err, clerk.ErrMaybe):
		l.inDoubt, l.doubtAt = true, version
		if ctx.Err() == nil {
			err = nil
		}
	case errors.Is(err, clerk.ErrVersion), errors.Is(err, clerk.ErrNoKey):
		err = nil
	}
	return false, err
}

// failed adds to an error what failed, and ErrMaybe if a Put is in doubt.
func (l *Lock) failed(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case l.inDoubt && !errors.Is(err, clerk.ErrMaybe):
		return fmt.Errorf("%s lock %q: %w: %w", what, l.key, clerk.ErrMaybe, err)
	default:
		return fmt.Errorf("%s lock %q: %w", what, l.key, err)
	}
}

// sleep waits for d with jitter, so that owners do not all read at once.
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
