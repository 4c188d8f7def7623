package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
	"balsa.example/clerk/lock"
)

// virtual runs a test against one server in virtual time.
func virtual(t *testing.T, seed uint64, reliable bool, test func(*testing.T, *clerktest.Service)) {
	synctest.Test(t, func(t *testing.T) {
		s := clerktest.New(seed)
		defer s.Close()
		s.Reliable(reliable)
		test(t, s)
	})
}

// fenced is a resource that obeys one owner at a time, by their tokens.
type fenced struct {
	section
	token uint64 // of the last owner
}

// enter notes that an owner got the lock.
func (f *fenced) enter(t *testing.T, token uint64) {
	f.change(t, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if token <= f.token {
		t.Errorf("token %d after %d", token, f.token)
	}
	f.token = token
}

// TestOneOwnerUnderFaults cuts clients off, stops them, and makes them give up at any moment,
// over a network that loses and delays messages. There is one owner at a time, which knows of
// its loss in time, and each has a higher token than those before.
func TestOneOwnerUnderFaults(t *testing.T) {
	for seed := range uint64(4) {
		virtual(t, seed, false, func(t *testing.T, s *clerktest.Service) {
			s.LongReordering(seed%2 == 1)
			const clients, ttl = 4, 3 * time.Second
			var protected fenced
			var mu sync.Mutex
			results := map[string]int{}
			count := func(what string, err error) {
				for _, known := range []error{lock.ErrLost, lock.ErrHeld, lock.ErrNotHeld, clerk.ErrMaybe, context.DeadlineExceeded} {
					if errors.Is(err, known) {
						what += ": " + known.Error()
						err = nil
						break
					}
				}
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				mu.Lock()
				defer mu.Unlock()
				results[what]++
			}
			end := time.Now().Add(10 * time.Minute)
			var wg sync.WaitGroup
			for c := range clients {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(seed, uint64(c)))
					upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
					for life := 0; time.Now().Before(end); life++ {
						name := fmt.Sprint(c, "-", life)
						ck := s.Clerk(name)
						for random.IntN(5) > 0 {
							m := lock.NewMutex(ck, "l", lock.TTL(ttl))
							ctx, cancel := context.WithTimeout(t.Context(), upTo(20*time.Second))
							take := m.Lock
							if random.IntN(3) == 0 {
								take = m.TryLock
							}
							err := take(ctx)
							cancel()
							count("lock", err)
							if err != nil {
								continue
							}
							protected.enter(t, m.Token())
							if random.IntN(4) == 0 {
								s.Connected(name, false)
							}
							select {
							case <-time.After(upTo(2 * ttl)):
							case <-m.Lost():
								count("lost", nil)
							}
							protected.change(t, -1)
							if random.IntN(4) == 0 {
								break // without Unlock
							}
							s.Connected(name, random.IntN(4) > 0)
							ctx, cancel = context.WithTimeout(t.Context(), upTo(2*time.Second))
							count("unlock", m.Unlock(ctx))
							cancel()
							s.Connected(name, true)
						}
						_ = ck.Close()
					}
				})
			}
			wg.Wait()
			t.Logf("%v", results)
			if results["lock"] < 50 || results["lost"] < 5 || results["unlock"] < 10 {
				t.Error("too calm")
			}
			start := time.Now()
			last := lock.NewMutex(s.Clerk("last"), "l")
			ctx, cancel := context.WithTimeout(t.Context(), 20*ttl)
			defer cancel()
			if err := last.Lock(ctx); err != nil || time.Since(start) > 10*ttl {
				t.Errorf("free after %v: %v", time.Since(start), err)
			}
		})
	}
}

func TestWhoWaitsLongestIsNext(t *testing.T) {
	virtual(t, 1, true, func(t *testing.T, s *clerktest.Service) {
		first := lock.NewMutex(s.Clerk("first"), "l")
		if err := first.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 5 {
			m := lock.NewMutex(s.Clerk(fmt.Sprint(i)), "l")
			wg.Go(func() {
				if err := m.Lock(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				if err := m.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Second)
		}
		if err := lock.NewMutex(s.Clerk("impatient"), "l").TryLock(t.Context()); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("try: %v", err)
		}
		if err := first.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if fmt.Sprint(order) != "[0 1 2 3 4]" {
			t.Errorf("order %v", order)
		}
	})
}

// TestTheNextIsWokenAtOnce: who waits does not ask again and again, and has the lock as soon as the
// one before has given it back, or has vanished for the time to live.
func TestTheNextIsWokenAtOnce(t *testing.T) {
	virtual(t, 5, true, func(t *testing.T, s *clerktest.Service) {
		first, next := s.Clerk("first"), s.Clerk("next")
		for _, vanish := range []bool{false, true} {
			owner := lock.NewMutex(first, "l", lock.TTL(10*time.Second))
			if err := owner.Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got time.Time
			waiter := lock.NewMutex(next, "l", lock.TTL(time.Hour))
			done := make(chan error, 1)
			go func() {
				err := waiter.Lock(t.Context())
				got = time.Now()
				done <- err
			}()
			time.Sleep(time.Minute)
			before := s.Requests()
			time.Sleep(10 * time.Minute)
			// The owner's keep-alives, and what tells a watcher that nothing happens.
			if n := s.Requests() - before; n > 600/3+600/2 {
				t.Errorf("%d requests in 10 minutes of waiting", n)
			}
			due := time.Now()
			if vanish {
				s.Connected("first", false)
				due = due.Add(10 * time.Second)
			} else if err := owner.Unlock(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if late := got.Sub(due); late > 100*time.Millisecond {
				t.Errorf("vanish %t: the lock is got %v late", vanish, late)
			}
			if err := waiter.Unlock(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLeaseThatEndsWhileWaiting: Lock must not return as if the lock were held.
func TestLeaseThatEndsWhileWaiting(t *testing.T) {
	virtual(t, 2, true, func(t *testing.T, s *clerktest.Service) {
		owner, enemy := lock.NewMutex(s.Clerk("owner"), "l"), s.Clerk("enemy")
		if err := owner.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, before := range []bool{true, false} {
			waiter := lock.NewMutex(s.Clerk(fmt.Sprint(before)), "l", lock.TTL(time.Minute))
			result := make(chan error, 1)
			go func() { result <- waiter.Lock(t.Context()) }()
			time.Sleep(time.Second)
			if !before { // the lock becomes free in the same revision as the waiter's place goes
				if _, err := enemy.DeleteRange(t.Context(), lock.Queue("l")); err != nil {
					t.Fatal(err)
				}
			} else if err := enemy.Revoke(t.Context(), waiterLease(t, enemy, owner)); err != nil {
				t.Fatal(err)
			}
			if before {
				if err := owner.Unlock(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-result; !errors.Is(err, lock.ErrLost) {
				t.Errorf("waiter: %v", err)
			}
			if waiter.Lost() != nil || waiter.Lease() != 0 {
				t.Error("the waiter has a lease")
			}
			if before {
				if err := owner.Lock(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// waiterLease is the lease of who waits behind the owner.
func waiterLease(t *testing.T, ck *clerk.Clerk, owner *lock.Mutex) int64 {
	for kv, err := range ck.Range(t.Context(), lock.Queue("l")) {
		if err != nil {
			t.Fatal(err)
		}
		if kv.Key != owner.Key() {
			return kv.Lease
		}
	}
	t.Fatal("nobody waits")
	return 0
}

// TestTokenIsThatOfTheKey: also where the reply to its creation was lost, and others have written
// since.
func TestTokenIsThatOfTheKey(t *testing.T) {
	virtual(t, 6, false, func(t *testing.T, s *clerktest.Service) {
		ck, writer, judge := s.Clerk("a"), s.Clerk("writer", clerk.WithSession(time.Minute)), s.Clerk("judge")
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = writer.Set(ctx, "k", nil)
			}
		})
		for i := range 60 {
			m := lock.NewMutex(ck, fmt.Sprint(i), lock.TTL(time.Hour))
			take := m.Lock
			if i%2 == 0 {
				take = m.TryLock
			}
			if err := take(t.Context()); err != nil {
				t.Fatal(err)
			}
			if kv, err := judge.Get(t.Context(), m.Key()); err != nil || kv.CreateRevision != m.Token() {
				t.Errorf("token %d of %+v, %v", m.Token(), kv, err)
			}
		}
		cancel()
		wg.Wait()
	})
}

// TestHeldGuardsWrites: the store refuses what an owner writes after it has lost the lock.
func TestHeldGuardsWrites(t *testing.T) {
	virtual(t, 3, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		m := lock.NewMutex(ck, "l", lock.Value([]byte("host-7")))
		write := func() bool {
			r, err := ck.Txn(t.Context()).If(m.Held()).Then(clerk.OpPut("k", nil)).Commit()
			if err != nil {
				t.Fatal(err)
			}
			return r.Succeeded
		}
		if err := m.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kv, err := ck.Get(t.Context(), m.Key()); err != nil || string(kv.Value) != "host-7" {
			t.Errorf("%+v, %v", kv, err)
		}
		if err := m.Lock(t.Context()); err == nil {
			t.Error("locked twice")
		}
		if !write() {
			t.Error("refused while the lock is held")
		}
		if err := ck.Revoke(t.Context(), m.Lease()); err != nil {
			t.Fatal(err)
		}
		if write() {
			t.Error("accepted after the lock is lost")
		}
		if err := m.Unlock(t.Context()); !errors.Is(err, lock.ErrNotHeld) {
			t.Errorf("unlock: %v", err)
		}
		if err := m.Unlock(t.Context()); !errors.Is(err, lock.ErrNotHeld) {
			t.Errorf("unlock again: %v", err)
		}
	})
}

func TestNamesOfLocks(t *testing.T) {
	virtual(t, 4, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		for _, name := range []string{"", "a/@b"} {
			if err := lock.NewMutex(ck, name).Lock(t.Context()); !errors.Is(err, lock.ErrName) {
				t.Errorf("%q: %v", name, err)
			}
		}
		for _, name := range []string{"a", "a/b", "a/", "a@"} { // none of them is in the way of another
			if err := lock.NewMutex(ck, name).TryLock(t.Context()); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

// TestHeldIsFalseWhereNothingIsHeld: not of a Mutex that never was locked, nor of one that did not
// get the lock, wherever it failed.
func TestHeldIsFalseWhereNothingIsHeld(t *testing.T) {
	virtual(t, 11, true, func(t *testing.T, s *clerktest.Service) {
		owner, other := lock.NewMutex(s.Clerk("owner"), "l"), s.Clerk("other")
		m := lock.NewMutex(other, "l")
		refused := func(when string) {
			t.Helper()
			r, err := other.Txn(t.Context()).If(m.Held()).Then(clerk.OpPut("k", nil)).Commit()
			if err != nil || r.Succeeded {
				t.Errorf("%s: %+v, %v", when, r, err)
			}
		}
		refused("never locked")
		if err := owner.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.TryLock(t.Context()); !errors.Is(err, lock.ErrHeld) {
			t.Fatal(err)
		}
		refused("held by another")
		for _, patience := range []time.Duration{0, time.Second} { // for the lease, and in the queue
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if err := m.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
			refused("waited in vain")
		}
	})
}

// losing is the Caller of a client to which the replies to its first transactions do not come.
type losing struct {
	service *clerktest.Service
	left    int
	sent    []time.Time // transactions
}

func (l *losing) Call(_ context.Context, _ string, req *api.Request, _ time.Duration) (clerk.Answer, error) {
	reply := l.service.Execute(req)
	if req.Kind == api.Request_TXN {
		l.sent = append(l.sent, time.Now())
		if l.left--; l.left >= 0 {
			return clerk.Answer{}, errors.New("the connection broke")
		}
	}
	return clerk.Answer{Reply: reply}, nil
}

func (l *losing) Node(string) uint64 { return 1 }
func (l *losing) Close() error       { return nil }

// TestAPlaceInDoubtIsAskedForInPeace: servers that break connections are not asked without a pause.
func TestAPlaceInDoubtIsAskedForInPeace(t *testing.T) {
	virtual(t, 1, true, func(t *testing.T, s *clerktest.Service) {
		l := &losing{service: s, left: 5}
		ck, err := clerk.New([]string{"server:1"}, clerk.WithCaller(l))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		m := lock.NewMutex(ck, "name")
		if err := m.TryLock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(l.sent) != 6 {
			t.Errorf("%d transactions were sent", len(l.sent))
		}
		for i := range l.sent[1:] {
			if pause := l.sent[i+1].Sub(l.sent[i]); pause <= 0 {
				t.Errorf("no pause before attempt %d", i+2)
			}
		}
		if err := m.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
