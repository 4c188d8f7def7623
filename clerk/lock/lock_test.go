package lock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
	"balsa.example/clerk/lock"
)

// section is what a lock protects. It detects two owners inside at the same time.
type section struct {
	mu      sync.Mutex
	inside  int
	entered int
}

func (s *section) visit(t *testing.T, d time.Duration) {
	s.change(t, 1)
	time.Sleep(d)
	s.change(t, -1)
}

func (s *section) change(t *testing.T, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside += by
	if by > 0 {
		s.entered++
	}
	if s.inside != 0 && s.inside != 1 {
		t.Errorf("%d owners at once", s.inside)
	}
}

// run lets clients take and release one lock for a while.
func run(t *testing.T, clients int, reliable bool, least int) {
	synctest.Test(t, func(t *testing.T) {
		service := clerktest.New(uint64(clients))
		defer service.Close()
		service.Reliable(reliable)
		start := time.Now()
		end := start.Add(20 * time.Second)
		var protected section
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				l := lock.New(service.Clerk(fmt.Sprint(c)), "l")
				for time.Now().Before(end) {
					if err := l.Acquire(t.Context()); err != nil {
						t.Error(err)
						return
					}
					protected.visit(t, 10*time.Millisecond)
					if err := l.Release(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if protected.entered < least {
			t.Errorf("the lock was held %d times, want %d", protected.entered, least)
		}
		t.Logf("... Passed -- %.1fs 1 %d %d", time.Since(start).Seconds(), service.Requests(), protected.entered)
	})
}

func TestOneClientReliable(t *testing.T)     { run(t, 1, true, 1000) }
func TestManyClientsReliable(t *testing.T)   { run(t, 10, true, 300) }
func TestOneClientUnreliable(t *testing.T)   { run(t, 1, false, 50) }
func TestManyClientsUnreliable(t *testing.T) { run(t, 10, false, 50) }

// TestImpatientClients gives up often, at any moment, with Puts on their way that may
// arrive late.
func TestImpatientClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := clerktest.New(9)
		defer service.Close()
		service.Reliable(false)
		service.LongReordering(true)
		end := time.Now().Add(5 * time.Minute)
		var protected section
		var gaveUp, maybes int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for c := range 4 {
			wg.Go(func() {
				l := lock.New(service.Clerk(fmt.Sprint(c)), "l")
				for i := 0; time.Now().Before(end); i++ {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i%37)*29*time.Millisecond)
					err := l.Acquire(ctx)
					if err == nil {
						protected.visit(t, 10*time.Millisecond)
					} else {
						mu.Lock()
						gaveUp++
						if errors.Is(err, clerk.ErrMaybe) {
							maybes++
						}
						mu.Unlock()
					}
					if err == nil || i%3 == 0 {
						_ = l.Release(ctx) // may fail; the next Acquire or Release finds out
					}
					cancel()
				}
				for {
					err := l.Release(t.Context())
					if err == nil || errors.Is(err, lock.ErrNotHeld) {
						break
					}
				}
			})
		}
		wg.Wait()
		if protected.entered < 100 || gaveUp < 100 || maybes < 10 {
			t.Errorf("held %d times, gave up %d times, ErrMaybe %d times", protected.entered, gaveUp, maybes)
		}
		if err := lock.New(service.Clerk("last"), "l").Acquire(t.Context()); err != nil {
			t.Errorf("the lock is stuck: %v", err)
		}
	})
}

func TestReleaseOfAnotherOwnersLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := clerktest.New(1)
		defer service.Close()
		a, b := lock.New(service.Clerk("a"), "l"), lock.New(service.Clerk("b"), "l")
		if err := b.Release(t.Context()); !errors.Is(err, lock.ErrNotHeld) {
			t.Errorf("release of a free lock: %v", err)
		}
		if err := a.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Release(t.Context()); !errors.Is(err, lock.ErrNotHeld) {
			t.Errorf("release of another's lock: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, clerk.ErrMaybe) {
			t.Errorf("acquire of another's lock: %v", err)
		}
	})
}
