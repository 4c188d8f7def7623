package lock_test

import (
	"testing"
	"time"

	"balsa.example/clerk/clerktest"
	"balsa.example/clerk/lock"
)

// TestLossIsToldAmongManyLeases: leases that are due and wait for their turn to be kept alive do not hide that
// another one is lost.
func TestLossIsToldAmongManyLeases(t *testing.T) {
	virtual(t, 12, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("owner")
		const many, long = 300, time.Hour // more than the Clerk keeps alive at a time
		for range many {
			if _, err := ck.Grant(t.Context(), long); err != nil {
				t.Fatal(err)
			}
		}
		m := lock.NewMutex(ck, "l") // 15 s
		if err := m.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(long/3 - 10*time.Second) // all of the long ones are due in 10 s
		s.Connected("owner", false)

		next := lock.NewMutex(s.Clerk("next"), "l")
		if err := next.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		select {
		case <-m.Lost():
		default:
			<-m.Lost()
			t.Errorf("there were two owners for %v", time.Since(began))
		}
	})
}
