package lock_test

import (
	"sync"
	"testing"
	"time"

	"balsa.example/clerk/clerktest"
	"balsa.example/clerk/lock"
)

// TestLostIsForAnyGoroutine: as a Mutex says of itself. Only the race detector sees it where it is not.
func TestLostIsForAnyGoroutine(t *testing.T) {
	virtual(t, 14, true, func(t *testing.T, s *clerktest.Service) {
		m := lock.NewMutex(s.Clerk("a"), "l")
		var work sync.WaitGroup
		stop := make(chan struct{})
		work.Go(func() {
			for range time.Tick(100 * time.Microsecond) {
				select {
				case <-stop:
					return
				default:
					_ = m.Lost()
				}
			}
		})
		for range 100 {
			if err := m.Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			if err := m.Unlock(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		work.Wait()
	})
}
