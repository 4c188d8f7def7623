package lock_test

import (
	"context"
	"errors"
	"testing"

	"balsa.example/clerk"
	"balsa.example/clerk/lock"
)

// lateStore is one key whose Puts can be delayed: the caller's context ends, and the Put is
// executed when arrive is called.
type lateStore struct {
	kv     clerk.KV
	cancel context.CancelFunc // set while Puts are delayed
	late   []func()
}

func (s *lateStore) Get(context.Context, string, ...clerk.ReadOption) (clerk.KV, error) {
	if s.kv.Version == 0 {
		return clerk.KV{}, clerk.ErrNoKey
	}
	return s.kv, nil
}

func (s *lateStore) Put(ctx context.Context, _ string, value []byte, version uint64, _ ...clerk.PutOption) (clerk.KV, error) {
	put := func() (clerk.KV, error) {
		if version != s.kv.Version {
			return clerk.KV{}, clerk.ErrVersion
		}
		s.kv = clerk.KV{Value: value, Version: version + 1}
		return s.kv, nil
	}
	if s.cancel == nil {
		return put()
	}
	s.late = append(s.late, func() { _, _ = put() })
	s.cancel()
	return clerk.KV{}, errors.Join(clerk.ErrMaybe, ctx.Err())
}

// delay runs do with a context that ends during its first Put, and delays that Put.
func (s *lateStore) delay(t *testing.T, do func(context.Context) error) {
	t.Helper()
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(t.Context())
	if err := do(ctx); !errors.Is(err, clerk.ErrMaybe) || !errors.Is(err, context.Canceled) {
		t.Fatalf("delayed: %v", err)
	}
	s.cancel = nil
}

func (s *lateStore) arrive() {
	for _, put := range s.late {
		put()
	}
	s.late = nil
}

// check tells whether someone holds the lock.
func (s *lateStore) check(t *testing.T, held bool) {
	t.Helper()
	if (len(s.kv.Value) > 0) != held {
		t.Errorf("the lock is at %d with value %q", s.kv.Version, s.kv.Value)
	}
}

func TestLateReleaseDoesNotFreeWhatWasAcquiredAgain(t *testing.T) {
	var s lateStore
	l := lock.New(&s, "l")
	if err := l.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.delay(t, l.Release)
	if err := l.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.arrive()
	s.check(t, true)
}

func TestLateAcquireDoesNotTakeWhatWasReleased(t *testing.T) {
	var s lateStore
	l := lock.New(&s, "l")
	s.delay(t, l.Acquire)
	if err := l.Release(t.Context()); !errors.Is(err, lock.ErrNotHeld) {
		t.Fatal(err)
	}
	s.arrive()
	s.check(t, false)
}

func TestAcquireThatArrivedIsFound(t *testing.T) {
	for name, finish := range map[string]struct {
		do   func(*lock.Lock, context.Context) error
		held bool
	}{
		"by Acquire": {(*lock.Lock).Acquire, true},
		"by Release": {(*lock.Lock).Release, false},
	} {
		t.Run(name, func(t *testing.T) {
			var s lateStore
			l := lock.New(&s, "l")
			s.delay(t, l.Acquire)
			s.arrive()
			before := s.kv.Version
			if err := finish.do(l, t.Context()); err != nil {
				t.Fatal(err)
			}
			s.check(t, finish.held)
			if finish.held && s.kv.Version != before {
				t.Error("a lock that is ours was written to again")
			}
		})
	}
}
