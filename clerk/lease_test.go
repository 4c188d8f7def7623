package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

func grant(t *testing.T, ck *clerk.Clerk, ttl time.Duration) *clerk.Lease {
	t.Helper()
	l, err := ck.Grant(t.Context(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func exists(t *testing.T, ck *clerk.Clerk, key string) bool {
	t.Helper()
	_, err := ck.Get(t.Context(), key)
	if err != nil && !errors.Is(err, clerk.ErrNoKey) {
		t.Fatal(err)
	}
	return err == nil
}

func TestLeaseLivesAsLongAsItsClerk(t *testing.T) {
	service(t, 1, true, func(t *testing.T, s *clerktest.Service) {
		const ttl = 6 * time.Second
		owner, other := s.Clerk("owner"), s.Clerk("other")
		l := grant(t, owner, ttl)
		set(t, owner, "k", "v", clerk.WithLease(l.ID()))
		before := s.Requests()
		time.Sleep(100 * ttl)
		if n := s.Requests() - before; n < 290 || n > 310 {
			t.Errorf("%d keep-alives in 100 times to live", n)
		}
		if !exists(t, other, "k") || l.Lost() {
			t.Fatal("the lease has ended")
		}
		if err := owner.Close(); err != nil {
			t.Fatal(err)
		}
		if !l.Lost() {
			t.Error("the Clerk is closed, and its lease is not lost")
		}
		time.Sleep(ttl / 2)
		if !exists(t, other, "k") {
			t.Error("the key is gone early")
		}
		time.Sleep(ttl / 2)
		if exists(t, other, "k") {
			t.Error("the key has outlived its lease")
		}
		if _, err := owner.Grant(t.Context(), ttl); !errors.Is(err, clerk.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestLossIsToldBeforeTheKeyGoes cuts the owner off. It must know before others can.
func TestLossIsToldBeforeTheKeyGoes(t *testing.T) {
	service(t, 2, false, func(t *testing.T, s *clerktest.Service) {
		const ttl = 3 * time.Second
		owner, other := s.Clerk("owner"), s.Clerk("other", clerk.WithSession(time.Minute))
		for round := range 20 {
			l := grant(t, owner, ttl)
			key := fmt.Sprint("k", round)
			set(t, other, key, "v", clerk.WithLease(l.ID()))
			time.Sleep(time.Duration(round) * 211 * time.Millisecond)
			s.Connected("owner", false)
			cut := time.Now()
			<-l.Done()
			if d := time.Since(cut); d > ttl {
				t.Errorf("told after %v", d)
			}
			if r := s.Execute(&api.Request{Kind: api.Request_GET, Key: []byte(key)}); r.Code != api.Reply_OK {
				t.Errorf("the key is gone before its owner knows: %v", r.Code)
			}
			s.Connected("owner", true)
			time.Sleep(ttl + time.Second) // more than the requests take
			if exists(t, other, key) {
				t.Error("the lease was kept alive after it was lost")
			}
		}
	})
}

func TestShortOutagesLoseNoLease(t *testing.T) {
	service(t, 3, false, func(t *testing.T, s *clerktest.Service) {
		const ttl = 9 * time.Second
		owner := s.Clerk("owner")
		l := grant(t, owner, ttl)
		for range 50 {
			s.Connected("owner", false)
			time.Sleep(ttl / 2)
			s.Connected("owner", true)
			time.Sleep(ttl / 4)
			if l.Lost() {
				t.Fatal("lost")
			}
		}
	})
}

func TestRevoke(t *testing.T) {
	service(t, 4, false, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a", clerk.WithSession(time.Minute))
		refused := 0
		for range 50 { // of which some get no reply
			l := grant(t, ck, time.Minute)
			set(t, ck, "k", "v", clerk.WithLease(l.ID()))
			if err := l.Revoke(t.Context()); err != nil || !l.Lost() {
				t.Fatal(l.Lost(), err)
			}
			if exists(t, ck, "k") {
				t.Fatal("the key is there")
			}
			again := l.Revoke(t.Context())
			if again != nil && !errors.Is(again, clerk.ErrNoLease) {
				t.Fatalf("again: %v", again)
			}
			if again != nil {
				refused++
			}
			l = grant(t, ck, time.Minute)
			set(t, ck, "k", "v", clerk.WithLease(l.ID()))
			l.Abandon()
			time.Sleep(5 * time.Second)
			if exists(t, ck, "k") {
				t.Fatal("the key of an abandoned lease is there")
			}
		}
		if refused < 30 { // after a lost reply the first attempt may have ended the lease
			t.Errorf("%d of 50 leases were refused to end twice", refused)
		}
		left := 0
		for range ck.Leases(t.Context()) {
			left++
		}
		if left != 1 {
			t.Errorf("%d leases are left, want the session", left)
		}
	})
}

// TestCloseRevokesWhatWasAbandoned: a program that gives up and ends leaves no lease behind. Where no
// server answers, Close waits for a limited time.
func TestCloseRevokesWhatWasAbandoned(t *testing.T) {
	for _, reachable := range []bool{true, false} {
		service(t, 8, true, func(t *testing.T, s *clerktest.Service) {
			ck, other := s.Clerk("a"), s.Clerk("b")
			for i := range 3 {
				l := grant(t, ck, time.Minute)
				set(t, ck, fmt.Sprint(i), "v", clerk.WithLease(l.ID()))
				s.Connected("a", reachable)
				l.Abandon()
				s.Connected("a", reachable || i < 2)
			}
			begin := time.Now()
			if err := ck.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took > 3*time.Second || reachable && took > time.Second {
				t.Errorf("Close took %v", took)
			}
			n, err := other.Count(t.Context(), clerk.Span{})
			if err != nil || reachable && n != 0 {
				t.Errorf("%d keys are left, %v", n, err)
			}
			if _, err := ck.Grant(t.Context(), time.Minute); !errors.Is(err, clerk.ErrClosed) {
				t.Errorf("a lease of a Clerk that is closed: %v", err)
			}
		})
	}
}

func TestLeasesOfOthersAndTheirState(t *testing.T) {
	service(t, 5, true, func(t *testing.T, s *clerktest.Service) {
		ck, other := s.Clerk("a"), s.Clerk("b")
		var want []int64
		for range 3 {
			want = append(want, grant(t, ck, 10*time.Second).ID())
		}
		slices.Sort(want)
		var got []int64
		for id, err := range other.Leases(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, id)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d, want %d", got, want)
		}
		if err := ck.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		info, err := other.TimeToLive(t.Context(), want[0])
		if err != nil || info.Granted != 10*time.Second || info.Left > 7*time.Second || info.Left < 5*time.Second || info.Session {
			t.Errorf("%+v, %v", info, err)
		}
		if ttl, err := other.KeepAlive(t.Context(), want[0]); err != nil || ttl != 10*time.Second {
			t.Errorf("%v, %v", ttl, err)
		}
		time.Sleep(9 * time.Second)
		for id, want := range map[int64]error{want[0]: nil, want[1]: clerk.ErrNoLease, 7: clerk.ErrNoLease} {
			if _, err := other.TimeToLive(t.Context(), id); !errors.Is(err, want) {
				t.Errorf("lease %d: %v, want %v", id, err, want)
			}
		}
		if _, err := other.Grant(t.Context(), 0); !errors.Is(err, clerk.ErrLeaseTTL) {
			t.Error(err)
		}
	})
}

// TestManyLeasesShareAGoroutine keeps more alive than may be renewed at a time.
func TestManyLeasesShareAGoroutine(t *testing.T) {
	service(t, 6, true, func(t *testing.T, s *clerktest.Service) {
		const n, ttl = 600, 30 * time.Second
		ck := s.Clerk("a")
		var all []*clerk.Lease
		for range n {
			all = append(all, grant(t, ck, ttl))
		}
		before := s.Requests()
		time.Sleep(4 * ttl)
		for _, l := range all {
			if l.Lost() {
				t.Fatal("lost")
			}
		}
		if r := s.Requests() - before; r < 11*n || r > 13*n {
			t.Errorf("%d keep-alives of %d leases in four times to live", r, n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := all[0].Revoke(ctx); err != nil {
			t.Error(err)
		}
	})
}

// GrantID makes a lease, or takes over the one that there is.
func TestGrantByID(t *testing.T) {
	service(t, 8, true, func(t *testing.T, s *clerktest.Service) {
		first, second, other := s.Clerk("a"), s.Clerk("b"), s.Clerk("c")
		for _, id := range []int64{0, -5} {
			if l, err := first.GrantID(t.Context(), id, time.Second); !errors.Is(err, clerk.ErrInvalid) {
				t.Errorf("lease %d: %v, %v", id, l, err)
			}
		}
		if _, err := first.GrantID(t.Context(), 7, 0); !errors.Is(err, clerk.ErrLeaseTTL) {
			t.Error(err)
		}
		l, err := first.GrantID(t.Context(), 7, 10*time.Second)
		if err != nil || l.ID() != 7 || l.TTL() != 10*time.Second {
			t.Fatal(l, err)
		}
		if l, err = second.GrantID(t.Context(), 7, time.Hour); err != nil || l.ID() != 7 || l.TTL() != 10*time.Second {
			t.Fatal(l, err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := other.TimeToLive(t.Context(), 7); err != nil || l.Lost() {
			t.Error("not kept alive: ", err)
		}
	})
}

// A Clerk may ask for a lease that it keeps alive already, and for one that has ended without its
// knowledge.
func TestGrantByIDTwice(t *testing.T) {
	service(t, 9, true, func(t *testing.T, s *clerktest.Service) {
		const ttl = 10 * time.Second
		ck, other := s.Clerk("first"), s.Clerk("second")
		grant(t, ck, time.Minute) // another one, for which the Clerk goes on
		take := func() *clerk.Lease {
			t.Helper()
			l, err := ck.GrantID(t.Context(), 7, ttl)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * ttl)
			if l.Lost() {
				t.Error("the lease is not kept alive")
			}
			return l
		}
		first := take()
		if take() != first {
			t.Error("one lease is two")
		}
		if err := other.Revoke(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		second := take()
		if !first.Lost() {
			t.Error("a lease that was revoked is not lost")
		}
		if err := second.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		third := take()
		if err := ck.Close(); err != nil {
			t.Fatal(err)
		}
		if !second.Lost() || !third.Lost() {
			t.Error("a lease that was revoked, or whose Clerk is closed, is not lost")
		}
		if l, err := ck.GrantID(t.Context(), 7, ttl); l != nil || !errors.Is(err, clerk.ErrClosed) {
			t.Errorf("of a closed Clerk: %v, %v", l, err)
		}
	})
}

// A GrantID finds a lease after its first attempt was lost: it may be that of somebody else, which
// ends earlier.
func TestGrantByIDOfALostAttempt(t *testing.T) {
	service(t, 10, true, func(t *testing.T, _ *clerktest.Service) {
		ck, err := clerk.New([]string{"s:1"}, clerk.WithCaller(new(taken)))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		if l, err := ck.GrantID(t.Context(), 7, time.Hour); err != nil || l.TTL() != 10*time.Second {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

// taken is a Caller whose server has a lease of 10 s, and gets no first request.
type taken struct{ calls int }

func (c *taken) Call(_ context.Context, _ string, req *api.Request, _ time.Duration) (clerk.Answer, error) {
	c.calls++
	switch {
	case c.calls == 1:
		return clerk.Answer{}, errors.New("lost")
	case req.Kind == api.Request_LEASE_GRANT:
		return clerk.Answer{Reply: &api.Reply{Code: api.Reply_LEASE_EXISTS}}, nil
	}
	return clerk.Answer{Reply: &api.Reply{Result: &api.Reply_Lease{Lease: &api.LeaseReply{Id: 7, TtlMs: 10_000}}}}, nil
}

func (c *taken) Node(string) uint64 { return 1 }
func (c *taken) Close() error       { return nil }
