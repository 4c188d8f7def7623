package clerk_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// moving is a cluster of three servers, each of which may be replaced by another one.
type moving struct {
	t     *testing.T
	store *clerktest.Service

	mu      sync.Mutex
	at      map[string]*fakeServer
	members []*api.Leader
	count   int
	dials   int
}

func newMoving(t *testing.T) *moving {
	m := &moving{t: t, store: clerktest.New(1), at: make(map[string]*fakeServer)}
	t.Cleanup(func() { m.store.Close() })
	for range 3 {
		m.replace(3)
	}
	return m
}

// replace starts another server, and then stops member i, if there is one.
func (m *moving) replace(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	address := fmt.Sprintf("server%d:1", m.count)
	f := &fakeServer{hello: new(api.Hello), handle: m.store.Execute, options: []grpc.ServerOption{
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}), // as servers have it
	}}
	f.start(m.t)
	m.at[address] = f
	one := &api.Leader{NodeId: uint64(m.count), ClientUrls: []string{"http://" + address}}
	var old *fakeServer
	if i < len(m.members) {
		former := m.members[i].ClientUrls[0][len("http://"):]
		old = m.at[former]
		delete(m.at, former)
		m.members[i] = one
	} else {
		m.members = append(m.members, one)
	}
	for _, f := range m.at {
		f.greet(&api.Hello{ClusterId: 7, Members: append([]*api.Leader(nil), m.members...)})
	}
	if old != nil {
		old.grpc.Stop()
	}
}

func (m *moving) dial(ctx context.Context, address string) (net.Conn, error) {
	m.mu.Lock()
	f := m.at[address]
	m.dials++
	m.mu.Unlock()
	if f == nil {
		return nil, &net.OpError{Op: "dial", Net: "mem", Err: context.DeadlineExceeded}
	}
	return f.dial(ctx, address)
}

func (m *moving) clerk() *clerk.Clerk {
	ck, err := clerk.New([]string{"server1:1", "server2:1", "server3:1"}, clerk.WithDialer(m.dial))
	if err != nil {
		m.t.Fatal(err)
	}
	return ck
}

// A Clerk that does nothing while all servers are replaced twice, one by one, knows where the new ones are.
func TestAnIdleClerkFollowsTheMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoving(t)
		ck := m.clerk()
		defer ck.Close()
		if _, err := ck.Set(within(t, time.Second), "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			time.Sleep(time.Minute)
			m.replace(i % 3)
		}
		time.Sleep(time.Minute)
		began := time.Now()
		if _, err := ck.Get(within(t, 10*time.Second), "k"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// Links to former members are dropped, however many there were.
func TestLinksToFormerMembersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoving(t)
		ck := m.clerk()
		defer ck.Close()
		for i := range 200 {
			if _, err := ck.Set(within(t, 10*time.Second), "k", []byte("v")); err != nil {
				t.Fatal(err)
			}
			m.replace(i % 3)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		const most = 3 + 3 // the servers of New, and the members
		if links, _ := clerk.Links(ck); links > most {
			t.Errorf("it has %d links, want %d at most", links, most)
		}
	})
}

// While no server can be reached, an idle Clerk tries seldom.
func TestAnIdleClerkTriesSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoving(t)
		ck := m.clerk()
		defer ck.Close()
		if _, err := ck.Set(within(t, time.Second), "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
		m.mu.Lock()
		all := m.at
		m.at = make(map[string]*fakeServer)
		m.dials = 0
		m.mu.Unlock()
		for _, f := range all {
			f.grpc.Stop()
		}
		time.Sleep(time.Hour)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.dials < 100 || m.dials > 5000 {
			t.Errorf("it has tried %d times in an hour", m.dials)
		}
	})
}
