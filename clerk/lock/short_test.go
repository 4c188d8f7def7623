package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
	"balsa.example/clerk/lock"
	"balsa.example/internal/frontend/native/translate"
)

// short is the Caller of a client whose server has no room for what a transaction has read: it sends once what
// the server sends then.
type short struct {
	service *clerktest.Service
	before  func() // runs before the first transaction; nil: there was one
}

func (c *short) Call(_ context.Context, _ string, req *api.Request, _ time.Duration) (clerk.Answer, error) {
	first := req.Kind == api.Request_TXN && c.before != nil
	if first {
		c.before()
		c.before = nil
	}
	reply := c.service.Execute(req)
	if first {
		translate.Shorten(reply)
	}
	return clerk.Answer{Reply: reply}, nil
}

func (*short) Node(string) uint64 { return 1 }
func (*short) Close() error       { return nil }

// TestTryLockWhoseReplyIsShort: another owner is faster, between the count and the transaction.
func TestTryLockWhoseReplyIsShort(t *testing.T) {
	virtual(t, 13, true, func(t *testing.T, s *clerktest.Service) {
		owner := lock.NewMutex(s.Clerk("owner"), "l")
		ck, err := clerk.New([]string{"server:1"}, clerk.WithCaller(&short{s, func() {
			if err := owner.Lock(t.Context()); err != nil {
				t.Error(err)
			}
		}}))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		if err := lock.NewMutex(ck, "l").TryLock(t.Context()); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("try lock: %v", err)
		}
	})
}
