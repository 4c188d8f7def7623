package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
	"balsa.example/internal/check/memtcp"
)

// remote is one server on a network that drops packets without an error.
type remote struct {
	*fakeServer
	t      *testing.T
	net    *memtcp.Net
	store  *clerktest.Service
	host   *memtcp.Host
	client *memtcp.Host
}

// boot starts the server's host at an address.
func (f *remote) boot(address string) {
	f.host = f.net.Host(address)
	f.net.Name("server", address)
	f.fakeServer = &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: 1}, handle: f.store.Execute, listen: f.host.Listen("1")}
	f.start(f.t)
}

func (f *remote) crash() {
	f.host.Crash()
	f.grpc.Stop()
}

// onNetwork runs a test with a Clerk that is connected to a remote server.
func onNetwork(t *testing.T, test func(t *testing.T, f *remote, ck *clerk.Clerk), opts ...clerk.Option) {
	synctest.Test(t, func(t *testing.T) {
		f := &remote{t: t, net: memtcp.New(), store: clerktest.New(1)}
		t.Cleanup(f.store.Close)
		t.Cleanup(f.net.Close)
		f.client = f.net.Host("client")
		f.boot("a")
		ck, err := clerk.New([]string{"server:1"}, append(opts, clerk.WithDialer(f.client.Dial))...)
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		if _, err := ck.Set(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
		test(t, f, ck)
	})
}

var outages = map[string]func(f *remote, wait func()){
	"drops all": func(f *remote, wait func()) {
		f.net.Cut("client", "a")
		f.net.Cut("a", "client")
		wait()
		f.net.Mend("client", "a")
		f.net.Mend("a", "client")
	},
	"drops requests": func(f *remote, wait func()) {
		f.net.Cut("client", "a")
		wait()
		f.net.Mend("client", "a")
	},
	"drops replies": func(f *remote, wait func()) {
		f.net.Cut("a", "client")
		wait()
		f.net.Mend("a", "client")
	},
	"restarts": func(f *remote, wait func()) {
		f.crash()
		wait()
		f.boot("a")
	},
	"moves": func(f *remote, wait func()) {
		f.crash()
		wait()
		f.boot("b")
	},
}

// A server that can be reached again is used again within 1.5 s, whatever the outage was and
// however long it took. The Clerk's own pauses come on top: see maxWait.
func TestServerIsUsedSoonAfterAnyOutage(t *testing.T) {
	const bound = 1500*time.Millisecond + 250*time.Millisecond
	for name, outage := range outages {
		for _, busy := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, busy %t", name, busy), func(t *testing.T) {
				t.Parallel()
				for _, d := range []time.Duration{300 * time.Millisecond, 970 * time.Millisecond, 2300 * time.Millisecond, 28 * time.Second, 5 * time.Minute} {
					onNetwork(t, func(t *testing.T, f *remote, ck *clerk.Clerk) {
						outage(f, func() {
							if !busy {
								time.Sleep(d)
								return
							}
							ctx, cancel := context.WithTimeout(t.Context(), d)
							defer cancel()
							for ctx.Err() == nil {
								ck.Get(ctx, "k")
							}
						})
						start := time.Now()
						if _, err := ck.Get(within(t, time.Hour), "k"); err != nil && !errors.Is(err, clerk.ErrNoKey) || time.Since(start) > bound {
							t.Errorf("after %v: answered after %v: %v, want %v", d, time.Since(start), err, bound)
						}
					})
				}
			})
		}
	}
}

// The Clerk does not close the connection to a slow server, nor a slow connection.
func TestSlowServerIsKept(t *testing.T) {
	onNetwork(t, func(t *testing.T, f *remote, ck *clerk.Clerk) {
		f.handle = func(r *api.Request) *api.Reply {
			time.Sleep(20 * time.Second)
			return f.store.Execute(r)
		}
		if _, err := ck.Set(t.Context(), "k", nil); err != nil {
			t.Error(err)
		}
		f.handle = f.store.Execute
		f.net.Rate(1 << 20)
		for range 3 {
			if _, err := ck.Set(t.Context(), "large", make([]byte, clerk.DefaultMaxBytes)); err != nil {
				t.Error(err)
			}
			if kv, err := ck.Get(t.Context(), "large"); err != nil || len(kv.Value) != clerk.DefaultMaxBytes {
				t.Error(err)
			}
		}
		if f.streams != 1 {
			t.Errorf("%d streams, want 1", f.streams)
		}
	}, clerk.WithAttemptTimeout(time.Minute))
}

// Status too gives up a dead connection and makes a new one.
func TestStatusGivesUpADeadConnection(t *testing.T) {
	onNetwork(t, func(t *testing.T, f *remote, ck *clerk.Clerk) {
		f.crash()
		f.boot("b")
		start := time.Now()
		for ok := false; !ok; {
			_, err := ck.Status(within(t, time.Minute), "server:1")
			ok = err == nil
		}
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}
