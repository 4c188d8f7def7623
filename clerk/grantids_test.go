package clerk_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// granting is a Caller whose server treats each grant as told, and executes all else that is asked of it.
type granting struct {
	treat func(n int, grant func() *api.Reply) (clerk.Answer, error) // of the grant number n, from 0 on
	store *clerktest.Service

	mu      sync.Mutex
	asked   []int64 // ids, in the order of the grants
	revoked []int64
}

func (c *granting) Call(_ context.Context, _ string, req *api.Request, _ time.Duration) (clerk.Answer, error) {
	c.mu.Lock()
	n := len(c.asked)
	switch req.Kind {
	case api.Request_LEASE_GRANT:
		c.asked = append(c.asked, req.GetLease().Id)
	case api.Request_LEASE_REVOKE:
		c.revoked = append(c.revoked, req.GetLease().Id)
	}
	c.mu.Unlock()
	if req.Kind == api.Request_LEASE_GRANT {
		return c.treat(n, func() *api.Reply { return c.store.Execute(req) })
	}
	return clerk.Answer{Reply: c.store.Execute(req)}, nil
}

func (c *granting) Node(string) uint64 { return 1 }
func (c *granting) Close() error       { return nil }

var errLost = errors.New("lost")

// No two attempts to grant that may both be executed ask for the same lease, and what the others may have made
// is revoked.
func TestEachAttemptToGrantHasItsOwnID(t *testing.T) {
	for name, test := range map[string]struct {
		treat   func(n int, grant func() *api.Reply) (clerk.Answer, error)
		ids     int // different ones that are asked for
		answer  int // the attempt whose lease it is
		revoked int
	}{
		"answered": {func(_ int, grant func() *api.Reply) (clerk.Answer, error) {
			return clerk.Answer{Reply: grant()}, nil
		}, 1, 0, 0},
		"refused before it is executed": {func(n int, grant func() *api.Reply) (clerk.Answer, error) {
			if n < 3 {
				return clerk.Answer{Reply: &api.Reply{Code: api.Reply_BUSY}}, nil
			}
			return clerk.Answer{Reply: grant()}, nil
		}, 1, 3, 0},
		"never sent": {func(n int, grant func() *api.Reply) (clerk.Answer, error) {
			if n < 3 {
				return clerk.Answer{}, clerk.ErrNotSent
			}
			return clerk.Answer{Reply: grant()}, nil
		}, 1, 3, 0},
		"replies are lost": {func(n int, grant func() *api.Reply) (clerk.Answer, error) {
			r := grant()
			if n < 3 {
				return clerk.Answer{}, errLost
			}
			return clerk.Answer{Reply: r}, nil
		}, 4, 3, 3},
		"outcomes are unknown": {func(n int, grant func() *api.Reply) (clerk.Answer, error) {
			r := grant()
			if n < 3 {
				return clerk.Answer{Reply: &api.Reply{Code: api.Reply_UNKNOWN}}, nil
			}
			return clerk.Answer{Reply: r}, nil
		}, 4, 3, 3},
		"many are lost": {func(n int, grant func() *api.Reply) (clerk.Answer, error) {
			if n < 100 {
				return clerk.Answer{}, errLost
			}
			return clerk.Answer{Reply: grant()}, nil
		}, 101, 100, 64},
		"the id is taken": {func(n int, grant func() *api.Reply) (clerk.Answer, error) {
			if n < 3 {
				return clerk.Answer{Reply: &api.Reply{Code: api.Reply_LEASE_EXISTS}}, nil
			}
			return clerk.Answer{Reply: grant()}, nil
		}, 4, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			service(t, 11, true, func(t *testing.T, s *clerktest.Service) {
				c := &granting{treat: test.treat, store: s}
				ck, err := clerk.New([]string{"s:1"}, clerk.WithCaller(c))
				if err != nil {
					t.Fatal(err)
				}
				defer ck.Close()
				l := grant(t, ck, time.Hour)
				synctest.Wait()
				distinct := slices.Compact(slices.Sorted(slices.Values(c.asked)))
				if len(distinct) != test.ids || l.ID() != c.asked[test.answer] || len(c.revoked) != test.revoked {
					t.Errorf("lease %x of %x, of which %x are revoked", l.ID(), c.asked, c.revoked)
				}
				if slices.Contains(c.revoked, l.ID()) || !slices.Equal(slices.Collect(ids(t, ck)), []int64{l.ID()}) {
					t.Errorf("lease %x, revoked %x", l.ID(), c.revoked)
				}
			})
		})
	}
}

func ids(t *testing.T, ck *clerk.Clerk) func(func(int64) bool) {
	return func(yield func(int64) bool) {
		for id, err := range ck.Leases(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			if !yield(id) {
				return
			}
		}
	}
}

// TestAGrantThatFailsLeavesNothing: what a grant in doubt may have made is revoked.
func TestAGrantThatFailsLeavesNothing(t *testing.T) {
	service(t, 12, true, func(t *testing.T, s *clerktest.Service) {
		c := &granting{store: s, treat: func(_ int, grant func() *api.Reply) (clerk.Answer, error) {
			grant()
			return clerk.Answer{}, errLost
		}}
		ck, err := clerk.New([]string{"s:1"}, clerk.WithCaller(c))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := ck.Grant(ctx, time.Hour); !errors.Is(err, clerk.ErrMaybe) {
			t.Error(err)
		}
		synctest.Wait()
		if left := slices.Collect(ids(t, ck)); len(left) != 0 || len(c.asked) < 2 {
			t.Errorf("%x are left of %x", left, c.asked)
		}
	})
}

// TestASessionIsNotOpenedAgain is what would happen to a write if a late attempt to open a session opened it anew
// after it was revoked: the first copy would find no session, and the second be executed.
func TestASessionIsNotOpenedAgain(t *testing.T) {
	service(t, 13, true, func(t *testing.T, s *clerktest.Service) {
		var late func() *api.Reply
		c := &granting{store: s, treat: func(n int, grant func() *api.Reply) (clerk.Answer, error) {
			if n == 0 {
				late = grant
				grant()
				return clerk.Answer{}, errLost
			}
			return clerk.Answer{Reply: grant()}, nil
		}}
		ck, err := clerk.New([]string{"s:1"}, clerk.WithCaller(c), clerk.WithSession(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		set(t, ck, "k", "v")
		synctest.Wait()
		session := slices.Collect(ids(t, ck))
		if len(session) != 1 {
			t.Fatalf("sessions %x", session)
		}
		if err := ck.Revoke(t.Context(), session[0]); err != nil {
			t.Fatal(err)
		}
		if r := late(); r.GetLease().GetId() == session[0] {
			t.Error("the session is there again")
		}
	})
}
