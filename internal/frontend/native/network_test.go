package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/memnet"
	"balsa.example/internal/replica"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// town is three servers in a bubble of virtual time: replicas on a network in memory, each
// with its real gRPC face, which clients reach over roads of any weather.
type town struct {
	t        testing.TB
	net      *memnet.Network // among the servers
	replicas []*replica.Replica
	ends     []*memnet.Endpoint
	fronts   []*Server
	doors    []*bufconn.Listener
	weather  weather
	serving  sync.WaitGroup
	pumps    sync.WaitGroup
}

func newTown(t testing.TB) *town {
	c := &town{t: t, net: memnet.New(1), weather: weather{changed: make(chan struct{})}}
	for id := raft.NodeID(1); id <= 3; id++ {
		end := c.net.Node(id)
		r, err := replica.New(replica.Config{
			ID: id, Storage: rsm.NewMemoryStorage(raft.NewConfiguration(1, 2, 3)), Transport: end, MaxRaftState: -1, Seed: 1,
			Leader: func(id raft.NodeID) *api.Leader {
				return &api.Leader{NodeId: uint64(id), ClientUrls: []string{"http://" + doorOf(int(id))}}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		end.Start(r.Node)
		f := New(quietConfig(&api.Hello{ClusterId: 7, NodeId: uint64(id)}))
		f.Start(r)
		door := bufconn.Listen(64 << 10)
		c.serving.Go(func() { _ = f.grpc.Serve(door) })
		c.replicas, c.ends, c.fronts = append(c.replicas, r), append(c.ends, end), append(c.fronts, f)
		c.doors = append(c.doors, door)
	}
	return c
}

func doorOf(n int) string { return fmt.Sprintf("server-%d:1", n) }

// close ends the servers as Abort does, and fails the test if they still count anything.
func (c *town) close() {
	for i, f := range c.fronts {
		f.Drain()
		c.ends[i].Stop()
		c.replicas[i].Stop()
		f.Stop()
	}
	c.idle()
	c.serving.Wait()
	c.pumps.Wait()
	c.net.Close()
}

// idle fails the test if a server still counts anything as in progress.
func (c *town) idle() {
	c.t.Helper()
	for i, f := range c.fronts {
		if n, b := f.clients.requests.things.Load(), f.clients.requests.bytes.Load(); n != 0 || b != 0 {
			c.t.Errorf("server %d still counts %d requests, %d bytes", i+1, n, b)
		}
	}
}

// leader waits until a server leads.
func (c *town) leader() *Server {
	c.t.Helper()
	for range 1000 {
		for i, r := range c.replicas {
			if r.Node.Leads() {
				return c.fronts[i]
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("nobody leads for 10 s")
	return nil
}

// clerk returns a Clerk with its real network, over these roads.
func (c *town) clerk() *clerk.Clerk {
	ck, err := clerk.New([]string{doorOf(1), doorOf(2), doorOf(3)}, clerk.WithDialer(c.dial))
	if err != nil {
		c.t.Fatal(err)
	}
	return ck
}

func (c *town) dial(ctx context.Context, address string) (net.Conn, error) {
	var n int
	if _, err := fmt.Sscanf(address, "server-%d:1", &n); err != nil {
		return nil, err
	}
	switch w := c.weather.get(); {
	case w.refuses:
		return nil, errors.New("connection refused")
	case w.deaf:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	far, err := c.doors[n-1].DialContext(ctx)
	if err != nil {
		return nil, err
	}
	// Between the client and the road there is a socket's buffer, too.
	l := bufconn.Listen(64 << 10)
	accepted := make(chan net.Conn, 1)
	c.pumps.Go(func() {
		mid, _ := l.Accept()
		accepted <- mid
	})
	near, err := l.DialContext(context.Background())
	if err != nil {
		return nil, err
	}
	mid := <-accepted
	r := &road{Conn: near, weather: &c.weather, closed: make(chan struct{})}
	c.pumps.Go(func() { r.pump(far, mid, true) })
	c.pumps.Go(func() { r.pump(mid, far, false) })
	return r, nil
}

// conditions are what a road is like.
type conditions struct {
	refuses, deaf             bool // no new connections: refused at once, or never answered
	stallsThere, stallsReturn bool // what is under way waits, for as long as this lasts
	delay                     time.Duration
}

// weather is the conditions of all roads now.
type weather struct {
	mu      sync.Mutex
	now     conditions
	changed chan struct{}
}

func (w *weather) get() conditions {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *weather) set(now conditions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
	close(w.changed)
	w.changed = make(chan struct{})
}

// road is a client's connection. As over TCP, bytes arrive late or not at all, but never
// without those before.
type road struct {
	net.Conn // the client's end
	weather  *weather
	once     sync.Once
	closed   chan struct{}
}

func (r *road) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.Conn.Close()
}

// pump carries one direction until either end is closed.
func (r *road) pump(dst, src net.Conn, there bool) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if err != nil || !r.pass(there) {
			return
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

// pass waits until the weather lets through, and tells whether the client is still there.
func (r *road) pass(there bool) bool {
	for {
		r.weather.mu.Lock()
		now, changed := r.weather.now, r.weather.changed
		r.weather.mu.Unlock()
		var late <-chan time.Time
		if stalls := there && now.stallsThere || !there && now.stallsReturn; !stalls {
			timer := time.NewTimer(now.delay)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-late:
			return true
		case <-changed:
		case <-r.closed:
			return false
		}
	}
}

// fakeStream is a client's stream as a handler sees it.
type fakeStream struct {
	grpc.ServerStream
	ctx      context.Context
	requests chan *api.RequestBatch
	replies  chan *api.ReplyBatch // unbuffered
}

func (s *fakeStream) Context() context.Context { return s.ctx }

func (s *fakeStream) Send(b *api.ReplyBatch) error {
	select {
	case s.replies <- b:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *fakeStream) Recv() (*api.RequestBatch, error) {
	select {
	case b, ok := <-s.requests:
		if !ok {
			return nil, io.EOF
		}
		return b, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}
