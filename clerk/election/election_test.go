package election_test

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
	"balsa.example/clerk/election"
	"balsa.example/clerk/lock"
)

func virtual(t *testing.T, seed uint64, reliable bool, test func(*testing.T, *clerktest.Service)) {
	synctest.Test(t, func(t *testing.T) {
		s := clerktest.New(seed)
		defer s.Close()
		s.Reliable(reliable)
		test(t, s)
	})
}

func TestCampaignProclaimResign(t *testing.T) {
	virtual(t, 1, true, func(t *testing.T, s *clerktest.Service) {
		ctx := t.Context()
		a, b, observer := election.New(s.Clerk("a"), "e"), election.New(s.Clerk("b"), "e"), election.New(s.Clerk("c"), "e")
		leader := func(want string) {
			t.Helper()
			kv, err := observer.Leader(ctx)
			if want == "" && !errors.Is(err, election.ErrNoLeader) || want != "" && (err != nil || string(kv.Value) != want) {
				t.Errorf("leader %q, %v, want %q", kv.Value, err, want)
			}
		}
		leader("")
		if err := a.Proclaim(ctx, nil); !errors.Is(err, lock.ErrNotHeld) {
			t.Errorf("proclaim before: %v", err)
		}
		if err := a.Campaign(ctx, []byte("a1")); err != nil {
			t.Fatal(err)
		}
		leader("a1")
		if err := a.Campaign(ctx, nil); err == nil {
			t.Error("campaigned twice")
		}
		won := make(chan error)
		go func() { won <- b.Campaign(ctx, []byte("b1")) }()
		time.Sleep(time.Second)
		if err := a.Proclaim(ctx, []byte("a2")); err != nil {
			t.Error(err)
		}
		leader("a2")
		if err := a.Resign(ctx); err != nil {
			t.Error(err)
		}
		if err := <-won; err != nil {
			t.Fatal(err)
		}
		leader("b1")
		if b.Token() <= a.Token() {
			t.Errorf("token %d after %d", b.Token(), a.Token())
		}
		if err := a.Proclaim(ctx, []byte("a3")); !errors.Is(err, lock.ErrNotHeld) {
			t.Errorf("proclaim after: %v", err)
		}
		time.Sleep(time.Hour) // it stays alive
		leader("b1")
		if err := b.Resign(ctx); err != nil {
			t.Error(err)
		}
		leader("")
	})
}

// TestALeaderThatIsCutOff learns it in time, and can write nothing more as the leader.
func TestALeaderThatIsCutOff(t *testing.T) {
	virtual(t, 2, false, func(t *testing.T, s *clerktest.Service) {
		const ttl = 3 * time.Second
		var mu sync.Mutex
		leading, terms, last := 0, 0, uint64(0)
		lead := func(by int, token uint64) {
			mu.Lock()
			defer mu.Unlock()
			if leading += by; leading != 0 && leading != 1 {
				t.Errorf("%d leaders", leading)
			}
			if by > 0 {
				terms++
				if token <= last {
					t.Errorf("token %d after %d", token, last)
				}
				last = token
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 3 {
			name := fmt.Sprint("candidate ", i)
			ck := s.Clerk(name, clerk.WithSession(time.Minute))
			wg.Go(func() {
				e := election.New(ck, "e", lock.TTL(ttl))
				for ctx.Err() == nil {
					if err := e.Campaign(ctx, []byte(name)); err != nil {
						if ctx.Err() == nil && !errors.Is(err, lock.ErrLost) {
							t.Error(err)
						}
						continue
					}
					lead(1, e.Token())
					s.Connected(name, false)
					<-e.Lost()
					lead(-1, 0)
					time.Sleep(ttl)
					s.Connected(name, true)
					r, err := ck.Txn(t.Context()).If(e.Leading()).Then(clerk.OpPut("k", nil)).Commit()
					if err != nil || r.Succeeded {
						t.Errorf("a former leader writes: %+v, %v", r, err)
					}
					if err := e.Resign(ctx); !errors.Is(err, lock.ErrNotHeld) && ctx.Err() == nil {
						t.Errorf("resign: %v", err)
					}
				}
			})
		}
		wg.Wait()
		if terms < 20 {
			t.Errorf("%d terms", terms)
		}
	})
}

func TestObserve(t *testing.T) {
	virtual(t, 3, true, func(t *testing.T, s *clerktest.Service) {
		ctx, cancel := context.WithCancel(t.Context())
		var seen []string
		var last error
		done := make(chan bool)
		go func() {
			defer close(done)
			for kv, err := range election.New(s.Clerk("observer"), "e").Observe(ctx) {
				if err != nil {
					last = err
					continue
				}
				seen = append(seen, string(kv.Value))
			}
		}()
		for i := range 3 {
			e := election.New(s.Clerk(fmt.Sprint(i)), "e")
			if err := e.Campaign(ctx, []byte(fmt.Sprint("leader ", i))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if err := e.Proclaim(ctx, []byte(fmt.Sprint("value ", i))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if err := e.Resign(ctx); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		cancel()
		<-done
		if want := "[leader 0 value 0 leader 1 value 1 leader 2 value 2]"; fmt.Sprint(seen) != want || !errors.Is(last, context.Canceled) {
			t.Errorf("%v, %v; want %s", seen, last, want)
		}
	})
}
