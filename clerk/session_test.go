package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// TestSessionsAreExactlyOnce lets clients write over a network that loses and delays messages,
// with writes of every kind. In a session none of them is in doubt, and each happens once.
func TestSessionsAreExactlyOnce(t *testing.T) {
	for _, long := range []bool{false, true} {
		service(t, 1, false, func(t *testing.T, s *clerktest.Service) {
			s.LongReordering(long)
			const clients, each = 4, 60
			var wg sync.WaitGroup
			for c := range clients {
				ck := s.Clerk(fmt.Sprint(c), clerk.WithSession(time.Minute))
				for g := range 2 { // that share the session
					wg.Go(func() {
						for i := range each {
							if err := writeOnce(t, s, ck, fmt.Sprint(c, "-", g, "-", i)); err != nil {
								t.Error(err)
							}
						}
					})
				}
			}
			wg.Wait()
		})
	}
}

// writeOnce makes one write of each kind.
func writeOnce(t *testing.T, s *clerktest.Service, ck *clerk.Clerk, name string) error {
	ctx := t.Context()
	if _, err := ck.Set(ctx, "shared", []byte(name)); err != nil {
		return fmt.Errorf("set: %w", err)
	}
	if n := s.Puts(name); n != 1 {
		return fmt.Errorf("set %s happened %d times", name, n)
	}
	if err := ck.Remove(ctx, "shared"); err != nil && !errors.Is(err, clerk.ErrNoKey) {
		return fmt.Errorf("remove: %w", err)
	}
	// Of one's own keys the outcome is known.
	kv, err := ck.Put(ctx, name, nil, 0)
	if err != nil || kv.Version != 1 {
		return fmt.Errorf("create: %+v, %w", kv, err)
	}
	r, err := ck.Txn(ctx).If(clerk.Version(name).Equals(1)).Then(clerk.OpPut(name, nil)).Commit()
	if err != nil || !r.Succeeded {
		return fmt.Errorf("transaction: %+v, %w", r, err)
	}
	if kv, err = ck.Set(ctx, name, nil, clerk.WithPrev()); err != nil || kv.Version != 3 || kv.Prev == nil || kv.Prev.Version != 2 {
		return fmt.Errorf("set with previous value: %+v, %w", kv, err)
	}
	if n, err := ck.DeleteRange(ctx, clerk.Key(name)); err != nil || n != 1 {
		return fmt.Errorf("delete range: %d, %w", n, err)
	}
	if _, err = ck.Put(ctx, name, nil, 7); !errors.Is(err, clerk.ErrNoKey) || errors.Is(err, clerk.ErrMaybe) {
		return fmt.Errorf("put that is refused: %w", err)
	}
	return nil
}

// TestEndedSession ends sessions while writes are under way. Those that were never executed go
// on in another session; the others are ErrMaybe, and happen at most once.
func TestEndedSession(t *testing.T) {
	service(t, 2, false, func(t *testing.T, s *clerktest.Service) {
		s.LongReordering(true)
		ck, enemy := s.Clerk("a", clerk.WithSession(time.Minute)), s.Clerk("b")
		end := time.Now().Add(10 * time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() {
			for time.Now().Before(end) {
				time.Sleep(3 * time.Second)
				for id, err := range enemy.Leases(t.Context()) {
					if err == nil {
						_ = enemy.Revoke(t.Context(), id)
					}
				}
			}
		})
		var mu sync.Mutex
		results := map[string]error{}
		for g := range 4 {
			wg.Go(func() {
				for i := 0; time.Now().Before(end); i++ {
					value := fmt.Sprint(g, "-", i)
					_, err := ck.Set(t.Context(), "k", []byte(value))
					mu.Lock()
					results[value] = err
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute) // for what is late
		maybes := 0
		for value, err := range results {
			n := s.Puts(value)
			maybe := errors.Is(err, clerk.ErrMaybe)
			if n > 1 || err == nil && n != 1 || err != nil && !maybe {
				t.Errorf("set of %s was executed %d times: %v", value, n, err)
			}
			if maybe {
				maybes++
			}
		}
		t.Logf("%d sets, %d maybes", len(results), maybes)
		if maybes == 0 || maybes > len(results)/5 {
			t.Errorf("%d of %d sets are in doubt", maybes, len(results))
		}
	})
}

// TestGivenUpInASession: what a caller has given up is not executed once a later write is.
func TestGivenUpInASession(t *testing.T) {
	service(t, 3, false, func(t *testing.T, s *clerktest.Service) {
		s.LongReordering(true)
		ck := s.Clerk("a", clerk.WithSession(time.Minute))
		given := 0
		for i := range 200 {
			value := fmt.Sprint("given up ", i)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%40)*time.Millisecond)
			_, err := ck.Set(ctx, "k", []byte(value))
			cancel()
			if _, err := ck.Set(t.Context(), "k", []byte("later")); err != nil {
				t.Fatal(err)
			}
			before := s.Puts(value)
			time.Sleep(5 * time.Second)
			if n := s.Puts(value); n != before || n > 1 || err == nil && n == 0 || err != nil && !errors.Is(err, clerk.ErrMaybe) && n > 0 {
				t.Errorf("executed %d times, and %d times in the end: %v", before, n, err)
			}
			if err != nil {
				given++
			}
		}
		if given < 50 {
			t.Errorf("only %d were given up", given)
		}
	})
}

// silent is a Caller whose server answers grants only.
type silent struct {
	mu       sync.Mutex
	requests []*api.Request
}

func (c *silent) Call(ctx context.Context, _ string, req *api.Request, timeout time.Duration) (clerk.Answer, error) {
	c.mu.Lock()
	c.requests = append(c.requests, req)
	c.mu.Unlock()
	if lease := req.GetLease(); lease != nil {
		return clerk.Answer{Reply: &api.Reply{Result: &api.Reply_Lease{Lease: &api.LeaseReply{Id: lease.Id, TtlMs: 60_000}}}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	<-ctx.Done()
	return clerk.Answer{}, ctx.Err()
}

func (c *silent) Node(string) uint64 { return 1 }
func (c *silent) Close() error       { return nil }

// TestOutstandingWritesOfASessionAreBounded sends more writes at a time than a server remembers.
func TestOutstandingWritesOfASessionAreBounded(t *testing.T) {
	service(t, 4, true, func(t *testing.T, _ *clerktest.Service) {
		c := new(silent)
		ck, err := clerk.New([]string{"s:1"}, clerk.WithCaller(c), clerk.WithSession(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		maybes, unsent := 0, 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 1500 {
			wg.Go(func() {
				_, err := ck.Set(ctx, "k", nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case !errors.Is(err, context.DeadlineExceeded):
					t.Error(err)
				case errors.Is(err, clerk.ErrMaybe):
					maybes++
				default:
					unsent++
				}
			})
		}
		wg.Wait()
		sessions, highest := map[int64]bool{}, uint64(0)
		for _, r := range c.requests {
			if s := r.Session; s != nil {
				sessions[s.Id] = true
				highest = max(highest, s.Seq)
			}
		}
		if len(sessions) != 1 || highest != 1024 || maybes != 1024 || unsent != 1500-1024 {
			t.Errorf("%d sessions, number %d, %d maybes, %d not sent", len(sessions), highest, maybes, unsent)
		}
	})
}

// TestSessionThatCannotBeOpened: the write was certainly not executed.
func TestSessionThatCannotBeOpened(t *testing.T) {
	service(t, 5, true, func(t *testing.T, s *clerktest.Service) {
		s.Connected("a", false)
		ck := s.Clerk("a", clerk.WithSession(time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := ck.Set(ctx, "k", nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, clerk.ErrMaybe) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s.Connected("a", true)
		for range 3 {
			set(t, ck, "k", "v")
		}
		n := 0
		for range ck.Leases(t.Context()) {
			n++
		}
		if n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// canned is a Caller whose server grants leases, and answers all else with the same reply.
type canned struct{ reply api.Reply }

func (c *canned) Call(_ context.Context, _ string, req *api.Request, _ time.Duration) (clerk.Answer, error) {
	if lease := req.GetLease(); lease != nil {
		return clerk.Answer{Reply: &api.Reply{Result: &api.Reply_Lease{Lease: &api.LeaseReply{Id: lease.Id, TtlMs: 60_000}}}}, nil
	}
	return clerk.Answer{Reply: proto.CloneOf(&c.reply)}, nil
}

func (c *canned) Node(string) uint64 { return 1 }
func (c *canned) Close() error       { return nil }

// TestOutcomesOfWhichOnlyTheCodeIsKept: what a write came to is known, and what is not known does
// not look like something else.
func TestOutcomesOfWhichOnlyTheCodeIsKept(t *testing.T) {
	service(t, 6, true, func(t *testing.T, _ *clerktest.Service) {
		c := new(canned)
		ck, err := clerk.New([]string{"s:1"}, clerk.WithCaller(c), clerk.WithSession(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		ctx := t.Context()
		reply := func(code api.Reply_Code) *api.Reply {
			proto.Reset(&c.reply)
			c.reply.Code, c.reply.Revision, c.reply.DoneAt, c.reply.Incomplete = code, 9, 9, true
			return &c.reply
		}
		reply(api.Reply_OK)
		if kv, err := ck.Put(ctx, "k", nil, 4); err != nil || !kv.Incomplete || kv.Version != 5 || kv.ModRevision != 9 || kv.CreateRevision != 0 {
			t.Errorf("put: %+v, %v", kv, err)
		}
		if kv, err := ck.Set(ctx, "k", nil, clerk.WithPrev()); err != nil || !kv.Incomplete || kv.Version != 0 || kv.ModRevision != 9 {
			t.Errorf("set: %+v, %v", kv, err)
		}
		if err := ck.Delete(ctx, "k", 4); err != nil {
			t.Errorf("delete: %v", err)
		}
		if n, err := ck.DeleteRange(ctx, clerk.Prefix("k")); err != nil || n != -1 {
			t.Errorf("delete range: %d, %v", n, err)
		}
		for _, succeeded := range []bool{true, false} {
			reply(api.Reply_OK).Result = &api.Reply_Txn{Txn: &api.TxnReply{Succeeded: succeeded}}
			r, err := ck.Txn(ctx).If(clerk.Missing("k")).Then(clerk.OpPut("k", nil)).Commit()
			if err != nil || r.Succeeded != succeeded || !r.Incomplete || r.Revision != 9 {
				t.Errorf("transaction: %+v, %v", r, err)
			}
		}
		reply(api.Reply_VERSION_MISMATCH)
		_, err = ck.Put(ctx, "k", nil, 4)
		if !errors.Is(err, clerk.ErrVersion) || errors.Is(err, clerk.ErrMaybe) || !strings.Contains(err.Error(), "key is not at 4") {
			t.Errorf("put that was refused: %v", err)
		}
		reply(api.Reply_NO_KEY)
		if err := ck.Remove(ctx, "k"); !errors.Is(err, clerk.ErrNoKey) || errors.Is(err, clerk.ErrMaybe) {
			t.Errorf("remove of no key: %v", err)
		}
	})
}
