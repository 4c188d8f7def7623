package queue_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"balsa.example/clerk/clerktest"
	"balsa.example/clerk/queue"
)

// TestLargeItemsAreTakenOnce: fewer of them fit into one reply than a taker looks at, and others are faster with those.
func TestLargeItemsAreTakenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clerktest.New(1)
		defer s.Close()
		q := queue.New(s.Clerk("puts"), "q")
		const items, takers = 12, 3
		for range items {
			if err := q.Put(t.Context(), make([]byte, 700<<10)); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for i := range takers {
			wg.Go(func() {
				q := queue.New(s.Clerk(fmt.Sprint(i)), "q")
				for {
					_, err := q.TryTake(t.Context())
					if errors.Is(err, queue.ErrEmpty) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					taken++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if taken != items {
			t.Errorf("%d of %d items were taken", taken, items)
		}
	})
}
