package clerk_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
)

// renewer is a server that takes a while to keep leases alive. Each lives for its id in milliseconds,
// and there are none with ids that can be divided by 10.
type renewer struct {
	mu       sync.Mutex
	requests int
	most     int // leases of one request
	refuses  bool
}

func (s *renewer) Call(ctx context.Context, _ string, req *api.Request, _ time.Duration) (clerk.Answer, error) {
	lease := req.GetLease()
	s.mu.Lock()
	s.requests++
	s.most = max(s.most, 1+len(lease.Others))
	refuses := s.refuses && len(lease.Others) > 0
	s.mu.Unlock()
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		return clerk.Answer{}, ctx.Err()
	}
	ttl := func(id int64) uint64 {
		if id%10 == 0 {
			return 0
		}
		return uint64(id)
	}
	reply := &api.Reply{}
	result := &api.LeaseReply{Id: lease.Id, TtlMs: ttl(lease.Id)}
	for _, id := range lease.Others {
		result.OthersTtlMs = append(result.OthersTtlMs, ttl(id))
	}
	switch {
	case refuses:
		reply.Code = api.Reply_INVALID
	case len(lease.Others) == 0 && result.TtlMs == 0:
		reply.Code = api.Reply_NO_LEASE
	default:
		reply.Result = &api.Reply_Lease{Lease: result}
	}
	return clerk.Answer{Reply: reply}, nil
}

func (*renewer) Node(string) uint64 { return 0 }
func (*renewer) Close() error       { return nil }

// renew keeps leases 1 to n alive at the same time, each with a context.
func renew(t *testing.T, s *renewer, n int, ctx func(id int64) (context.Context, context.CancelFunc)) {
	ck, err := clerk.New([]string{"h:1"}, clerk.WithCaller(s))
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	var wg sync.WaitGroup
	for id := int64(1); id <= int64(n); id++ {
		wg.Go(func() {
			ctx, cancel := ctx(id)
			defer cancel()
			ttl, err := ck.KeepAlive(ctx, id)
			switch {
			case err != nil && ctx.Err() != nil:
			case id%10 == 0 && !errors.Is(err, clerk.ErrNoLease), id%10 != 0 && (err != nil || ttl != time.Duration(id)*time.Millisecond):
				t.Errorf("lease %d: %v, %v", id, ttl, err)
			}
		})
	}
	wg.Wait()
	if n := clerk.Renewals(ck); n != 0 {
		t.Errorf("%d keep-alives wait, or are under way", n)
	}
}

func noTimeout(int64) (context.Context, context.CancelFunc) { return context.Background(), func() {} }

func TestKeepAlivesShareRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(renewer)
		renew(t, s, 3000, noTimeout)
		if s.requests > 6 || s.most > 1<<10 {
			t.Errorf("%d requests, of up to %d leases", s.requests, s.most)
		}
		s = new(renewer)
		renew(t, s, 1, noTimeout)
		if s.requests != 1 {
			t.Errorf("%d requests for one lease", s.requests)
		}
	})
}

// Where one request for many is refused, each lease gets the answer that is its own.
func TestKeepAlivesAreAskedForAloneAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &renewer{refuses: true}
		renew(t, s, 100, noTimeout)
		if s.most < 50 {
			t.Errorf("no request for more than %d leases", s.most)
		}
	})
}

// Whoever gives up leaves nobody behind, whether it waited or was to send the request of others.
func TestKeepAlivesThatGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for range 100 {
			timeouts := make([]time.Duration, 61)
			for i := range timeouts {
				if rng.IntN(2) == 0 {
					timeouts[i] = time.Duration(rng.IntN(5)) * 5 * time.Millisecond // also when a request ends
				} else {
					timeouts[i] = time.Hour
				}
			}
			renew(t, new(renewer), 60, func(id int64) (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), timeouts[id])
			})
		}
	})
}
