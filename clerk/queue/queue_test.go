package queue_test

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
	"balsa.example/clerk/queue"
)

func virtual(t *testing.T, seed uint64, reliable bool, test func(*testing.T, *clerktest.Service)) {
	synctest.Test(t, func(t *testing.T) {
		s := clerktest.New(seed)
		defer s.Close()
		s.Reliable(reliable)
		test(t, s)
	})
}

func TestItemsComeOutInOrder(t *testing.T) {
	virtual(t, 1, true, func(t *testing.T, s *clerktest.Service) {
		q := queue.New(s.Clerk("a"), "q")
		if _, err := q.TryTake(t.Context()); !errors.Is(err, queue.ErrEmpty) {
			t.Errorf("empty: %v", err)
		}
		for i := range 20 {
			if err := q.Put(t.Context(), []byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 20 {
			if item, err := q.Take(t.Context()); err != nil || string(item) != fmt.Sprint(i) {
				t.Errorf("item %d: %q, %v", i, item, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := q.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("empty: %v", err)
		}
	})
}

// TestTakeIsWokenByAPut: it does not ask again and again.
func TestTakeIsWokenByAPut(t *testing.T) {
	virtual(t, 3, true, func(t *testing.T, s *clerktest.Service) {
		taker, putter := queue.New(s.Clerk("taker"), "q"), queue.New(s.Clerk("putter"), "q")
		var got time.Time
		done := make(chan error)
		go func() {
			_, err := taker.Take(t.Context())
			got = time.Now()
			done <- err
		}()
		time.Sleep(10 * time.Minute)
		if n := s.Requests(); n > 600/2+10 {
			t.Errorf("%d requests in 10 minutes of waiting", n)
		}
		begin := time.Now()
		if err := putter.Put(t.Context(), []byte("item")); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil || got.Sub(begin) > 20*time.Millisecond {
			t.Errorf("taken after %v, %v", got.Sub(begin), err)
		}
	})
}

// TestManyTakeAtOnce: all see the same first items, and most of them find others to have been faster with
// each of these. There are more behind them.
func TestManyTakeAtOnce(t *testing.T) {
	virtual(t, 4, true, func(t *testing.T, s *clerktest.Service) {
		const takers = 40
		q := queue.New(s.Clerk("a"), "q")
		for i := range takers {
			if err := q.Put(t.Context(), []byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		for i := range takers {
			q := queue.New(s.Clerk(fmt.Sprint(i)), "q")
			all.Go(func() {
				if _, err := q.TryTake(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// TestEachItemIsTakenOnce puts and takes with several clients over a network that loses and
// delays messages. With sessions nothing is in doubt.
func TestEachItemIsTakenOnce(t *testing.T) {
	virtual(t, 2, false, func(t *testing.T, s *clerktest.Service) {
		s.LongReordering(true)
		const clients, each = 3, 40
		var mu sync.Mutex
		taken := map[string]int{}
		var wg sync.WaitGroup
		for c := range clients {
			q := queue.New(s.Clerk(fmt.Sprint(c), clerk.WithSession(time.Minute)), "q")
			wg.Go(func() {
				for i := range each {
					if err := q.Put(t.Context(), []byte(fmt.Sprint(c, "-", i))); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Go(func() {
				for range each {
					item, err := q.Take(t.Context())
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					taken[string(item)]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for item, n := range taken {
			if n != 1 {
				t.Errorf("%s was taken %d times", item, n)
			}
		}
		if len(taken) != clients*each {
			t.Errorf("%d items of %d were taken", len(taken), clients*each)
		}
	})
}
