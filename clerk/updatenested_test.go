package clerk_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// TestUpdateReturnsTheErrorOfItsFunction: also that of another Update, which was given up after a conflict.
func TestUpdateReturnsTheErrorOfItsFunction(t *testing.T) {
	service(t, 31, true, func(t *testing.T, s *clerktest.Service) {
		ck, other := s.Clerk("a"), s.Clerk("b")
		runs := 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := ck.Update(ctx, func(*clerk.Tx) error {
			runs++
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return ck.Update(short, func(tx *clerk.Tx) error {
				_, err := tx.Get("busy")
				if err != nil && !errors.Is(err, clerk.ErrNoKey) {
					return err
				}
				set(t, other, "busy", "v") // somebody is always faster
				tx.Put("busy", nil)
				return nil
			})
		})
		if runs != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d runs, %v", runs, err)
		}
	})
}
