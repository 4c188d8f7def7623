package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// TestAtMostOnceWhileOthersDelete lets clients create and delete one key over a network
// that loses and delays messages, so that the key goes through the same versions again and
// again.
func TestAtMostOnceWhileOthersDelete(t *testing.T) {
	service(t, 6, false, func(t *testing.T, s *clerktest.Service) {
		const clients = 5
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var mu sync.Mutex
		deletes, maybes := 0, 0
		values := make(map[string]error) // of each Put, how it ended
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				ck := s.Clerk(fmt.Sprint(c))
				for i := 0; ctx.Err() == nil; i++ {
					value := fmt.Sprint(c, "-", i)
					_, err := ck.Put(ctx, "k", []byte(value), 0)
					mu.Lock()
					values[value] = err
					mu.Unlock()
					if err = ck.Delete(ctx, "k", 1); err == nil {
						mu.Lock()
						deletes++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute) // for what is late
		for value, err := range values {
			n := s.Puts(value)
			maybe := errors.Is(err, clerk.ErrMaybe)
			if n > 1 || err == nil && n != 1 || err != nil && !maybe && n != 0 {
				t.Errorf("put of %s was executed %d times: %v", value, n, err)
			}
			if maybe {
				maybes++
			}
		}
		t.Logf("%d puts, %d maybes, %d deletes", len(values), maybes, deletes)
		if maybes == 0 || deletes < 100 {
			t.Error("too calm")
		}
	})
}

// TestFirstWriteOfAClerkIsSentAgain: a Clerk knows no revision but that of the first Hello.
// Its first request is lost, and the resend is executed.
func TestFirstWriteOfAClerkIsSentAgain(t *testing.T) {
	bubble(t, 1, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		before := st.Execute(&api.Request{Kind: api.Request_PUT, Key: []byte("k"), Unconditional: true})
		servers[0].hello.Revision = before.Revision
		lost := 0
		servers[0].handle = func(r *api.Request) *api.Reply {
			if lost == 0 {
				lost++
				return nil
			}
			return st.Execute(r)
		}
		if kv, err := ck.Put(within(t, 10*time.Second), "k", nil, 1); err != nil || kv.Version != 2 {
			t.Errorf("%+v, %v", kv, err)
		}
	})
}

// TestOldRevisionCostsNoRequest: the key has got its version after the last reply to this
// Clerk, and no message is lost.
func TestOldRevisionCostsNoRequest(t *testing.T) {
	bubble(t, 1, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		ctx := within(t, time.Second)
		if _, err := ck.Get(ctx, "k"); !errors.Is(err, clerk.ErrNoKey) {
			t.Fatal(err)
		}
		st.Execute(&api.Request{Kind: api.Request_PUT, Key: []byte("k"), Unconditional: true})
		start := time.Now()
		if err := ck.Delete(ctx, "k", 1); err != nil {
			t.Error(err)
		}
		if n := len(servers[0].batches); n != 2 || time.Since(start) != 0 {
			t.Errorf("%d requests, waited %v", n, time.Since(start))
		}
	})
}

// TestLostFirstAttemptOfANewClerk: a new Clerk, whose first Hello came from a server that is
// behind, loses its first attempt. The key was never deleted, so that more can be known than
// ErrMaybe says.
func TestLostFirstAttemptOfANewClerk(t *testing.T) {
	for name, hello := range map[string]uint64{"unknown": 0, "empty": 1, "old": 3} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
				for range 9 { // others
					st.Execute(&api.Request{Kind: api.Request_PUT, Key: []byte("other"), Unconditional: true})
				}
				for range 3 {
					st.Execute(&api.Request{Kind: api.Request_PUT, Key: []byte("k"), Unconditional: true})
				}
				servers[0].hello.Revision = hello
				requests := 0
				servers[0].handle = func(r *api.Request) *api.Reply {
					if requests++; requests == 1 {
						return nil
					}
					return st.Execute(r)
				}
				if kv, err := ck.Put(within(t, 10*time.Second), "k", nil, 3); err != nil || kv.Version != 4 {
					t.Errorf("%+v, %v", kv, err)
				}
			})
		})
	}
}

// TestLateReplySettlesAnOperation: a server is slower than the Clerk waits. Its reply comes
// after the Clerk has asked again, and the resend finds the Clerk's own change.
func TestLateReplySettlesAnOperation(t *testing.T) {
	bubble(t, 1, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		slow := true
		servers[0].handle = func(r *api.Request) *api.Reply {
			if slow {
				slow = false
				time.Sleep(clerk.DefaultAttemptTimeout + 500*time.Millisecond)
			}
			return st.Execute(r)
		}
		kv, err := ck.Put(within(t, 10*time.Second), "k", nil, 0)
		if err != nil || kv.Version != 1 {
			t.Errorf("%+v, %v", kv, err)
		}
	})
}
