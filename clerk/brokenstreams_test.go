package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
	"balsa.example/internal/check/history"
)

// TestHistoryWhileStreamsBreak runs the whole client against servers that lead in turns,
// cut their streams, and swallow requests and replies.
func TestHistoryWhileStreamsBreak(t *testing.T) {
	bubble(t, 3, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		const clients, keys = 8, 3
		var leader atomic.Int64
		for i, f := range servers {
			f.handle = chaotic(i, &leader, st)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, 1))
			for ctx.Err() == nil {
				time.Sleep(time.Duration(random.IntN(int(100 * time.Millisecond))))
				servers[random.IntN(3)].cutStreams()
				if random.IntN(3) == 0 {
					leader.Store(random.Int64N(3))
				}
			}
		})
		h := history.New()
		for c := range clients {
			wg.Go(func() {
				versions := make([]uint64, keys)
				for i := 0; ctx.Err() == nil; i++ {
					time.Sleep(10 * time.Millisecond) // the network takes no time here
					k, value := i%keys, fmt.Sprint(c, "-", i)
					_, err := h.Put(ctx, c, ck, fmt.Sprint("key", k), value, versions[k])
					if n := st.Puts(value); n > 1 || err == nil && n != 1 || err != nil && !errors.Is(err, clerk.ErrMaybe) && n != 0 {
						t.Errorf("put of %s was executed %d times: %v", value, n, err)
					}
					if kv, err := h.Get(ctx, c, ck, fmt.Sprint("key", k)); err == nil {
						versions[k] = kv.Version
					}
				}
			})
		}
		wg.Wait()
		streams := servers[0].streams + servers[1].streams + servers[2].streams
		t.Logf("%d maybes, %d streams", h.Maybes(), streams)
		if h.Maybes() == 0 || streams < 50 {
			t.Errorf("%d maybes, %d streams: too calm", h.Maybes(), streams)
		}
		h.Check(t, 500)
	})
}

// chaotic handles requests as server number self.
func chaotic(self int, leader *atomic.Int64, st *clerktest.Service) func(*api.Request) *api.Reply {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(2, uint64(self)))
	return func(r *api.Request) *api.Reply {
		mu.Lock()
		chance := random.IntN(100)
		mu.Unlock()
		if lead := int(leader.Load()); lead != self {
			return refuse(lead + 1)(r)
		}
		switch {
		case chance < 2:
			return nil // never executed
		case chance < 4:
			st.Execute(r)
			return nil
		case chance < 6:
			st.Execute(r)
			return &api.Reply{Code: api.Reply_UNKNOWN}
		case chance < 10:
			return &api.Reply{Code: api.Reply_BUSY}
		}
		return st.Execute(r)
	}
}
