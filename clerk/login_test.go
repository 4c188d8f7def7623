package clerk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// slowLogin is a server that takes its time to hash a password, 0: for ever. Who gives up gets nothing.
type slowLogin struct {
	*fakeServer
	takes time.Duration
}

func (s *slowLogin) Authenticate(ctx context.Context, _ *api.AuthenticateRequest) (*api.AuthenticateReply, error) {
	var hashed <-chan time.Time
	if s.takes > 0 {
		hashed = time.After(s.takes)
	}
	select {
	case <-hashed:
		return &api.AuthenticateReply{Token: "token"}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A password that takes long to hash, on purpose or since others are hashed, is waited for: who gave up after the same
// time again and again would never get in. A server that never answers holds up nobody for long all the same.
func TestALoginTakesItsTime(t *testing.T) {
	for name, test := range map[string]struct{ first, second, within time.Duration }{
		"both hash slowly":        {7 * time.Second, 7 * time.Second, 15 * time.Second},
		"one never answers":       {0, 50 * time.Millisecond, 5 * time.Second},
		"one never, one slowly":   {0, 5 * time.Second, 30 * time.Second},
		"as long as all may take": {20 * time.Second, 20 * time.Second, 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := clerktest.New(1)
				defer store.Close()
				servers := map[string]*fakeServer{}
				for i, takes := range []time.Duration{test.first, test.second} {
					f := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: uint64(i + 1)}, handle: store.Execute}
					f.service = &slowLogin{f, takes}
					f.start(t)
					servers[[]string{"a:1", "b:2"}[i]] = f
				}
				ck, err := clerk.New([]string{"a:1", "b:2"}, dialer(servers), clerk.WithUser("ann", "word"))
				if err != nil {
					t.Fatal(err)
				}
				defer ck.Close()
				began := time.Now()
				_, err = ck.Set(within(t, 2*time.Minute), "k", []byte("v"))
				if took := time.Since(began); err != nil || took > test.within {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// A backup ends where a server says nothing, also to the password, and says so.
func TestABackupWhoseLoginIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: 1}}
		f.service = &slowLogin{f, 0}
		f.start(t)
		ck, err := clerk.New([]string{"a:1"}, dialer(map[string]*fakeServer{"a:1": f}), clerk.WithUser("ann", "word"))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		for range 4 { // each time it is more patient
			if _, err := ck.OpenBackup(context.Background()); !errors.Is(err, clerk.ErrUnavailable) {
				t.Error(err)
			}
		}
		if _, err := ck.OpenBackup(context.Background()); !errors.Is(err, clerk.ErrUnavailable) || !strings.Contains(err.Error(), "said nothing for 30s") || strings.Contains(err.Error(), "context canceled") {
			t.Error(err)
		}
	})
}
