package clerk_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
	"balsa.example/internal/inproc"
)

// countedConn counts the connections that are open.
type countedConn struct {
	net.Conn
	open *atomic.Int64
	once *sync.Once
}

func (c countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// TestDialerReachesServersInProcess: the Clerk uses the dialer for its endpoints and for
// the leader that a server names, and closes every connection.
func TestDialerReachesServersInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := clerktest.New(1)
		defer store.Close()
		follower := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: 1}, handle: func(*api.Request) *api.Reply {
			return &api.Reply{Code: api.Reply_WRONG_LEADER, Leader: &api.Leader{NodeId: 2, ClientUrls: []string{"http://Leader:2"}}}
		}}
		leader := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: 2}, handle: store.Execute}
		follower.start(t)
		leader.start(t)

		var open atomic.Int64
		var mu sync.Mutex
		var dialed []string
		ck, err := clerk.New([]string{"follower:1"}, clerk.WithDialer(func(ctx context.Context, address string) (net.Conn, error) {
			mu.Lock()
			dialed = append(dialed, address)
			mu.Unlock()
			to := map[string]*fakeServer{"follower:1": follower, "leader:2": leader}[address]
			conn, err := to.dial(ctx, address)
			if err != nil {
				return nil, err
			}
			open.Add(1)
			return countedConn{conn, &open, new(sync.Once)}, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ck.Put(within(t, time.Second), "k", []byte("v"), 0); err != nil {
			t.Error(err)
		}
		if n := open.Load(); n != 2 || !slices.Equal(dialed, []string{"follower:1", "leader:2"}) {
			t.Errorf("%d connections, dialed %q", n, dialed)
		}
		ck.Close()
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d connections are open after Close", n)
		}
	})
}

// TestDialerThatIgnoresItsContext: it holds up neither the operation nor Close.
func TestDialerThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		ck, err := clerk.New([]string{"server:1"}, clerk.WithDialer(func(context.Context, string) (net.Conn, error) {
			<-release
			return nil, net.ErrClosed
		}))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = ck.Put(within(t, 10*time.Second), "k", nil, 0)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, clerk.ErrMaybe) || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ck.Close()
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("Close took %v", took-10*time.Second)
		}
	})
}

// TestNoDialerIsTCP: a nil dialer is the same as none.
func TestNoDialerIsTCP(t *testing.T) {
	store := clerktest.New(1)
	defer store.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: 1}, handle: store.Execute, listen: listener}
	server.start(t)
	unused := inproc.Listen()
	defer unused.Close()
	address := listener.Addr().String()
	for name, option := range map[string]clerk.Option{"nil": clerk.WithDialer(nil), "mixed": clerk.WithDialer(unused.Dialer("own:1"))} {
		ck, err := clerk.New([]string{address}, option)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ck.Set(within(t, 10*time.Second), name, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		ck.Close()
	}
}
