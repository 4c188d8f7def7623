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
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/check/memnet"
	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/metrics"
	"balsa.example/internal/replica"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// network is three servers in virtual time: replicas on a network in memory, each with its
// real gRPC server. Clients reach them over connections whose faults a test chooses.
type network struct {
	t         testing.TB
	net       *memnet.Network // among the servers
	replicas  []*replica.Replica
	ends      []*memnet.Endpoint
	servers   []*Server
	listeners []*bufconn.Listener
	linkState linkState
	serving   sync.WaitGroup
	copiers   sync.WaitGroup
}

func newNetwork(t testing.TB) *network { return newNetworkWith(t, clients.Limits{}) }

func newNetworkWith(t testing.TB, limits clients.Limits) *network {
	c := &network{t: t, net: memnet.New(1), linkState: linkState{changed: make(chan struct{})}}
	for id := raft.NodeID(1); id <= 3; id++ {
		end := c.net.Node(id)
		r, err := replica.New(t.Context(), replica.Config{
			ID: id, Log: rsm.NewMemoryStorage(raft.NewConfiguration(1, 2, 3)), Transport: end, Seed: 1,
			State: state.Config{FS: crashfs.NewMem(), Dir: "state", Cluster: 7}, Access: access.Config{BcryptCost: 4},
			Leader: func(id raft.NodeID) *api.Leader {
				return &api.Leader{NodeId: uint64(id), ClientUrls: []string{"http://" + addressOf(int(id))}}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		end.Start(r.Node)
		f := New(Config{
			Port: portWith(t, limits), Hello: &api.Hello{ClusterId: 7, NodeId: uint64(id)},
			Status: func() *api.StatusReply { return new(api.StatusReply) },
		})
		f.Start(r)
		l := bufconn.Listen(64 << 10)
		c.serving.Go(func() { _ = f.cfg.Port.Serve(l) })
		c.replicas, c.ends, c.servers = append(c.replicas, r), append(c.ends, end), append(c.servers, f)
		c.listeners = append(c.listeners, l)
	}
	return c
}

func addressOf(n int) string { return fmt.Sprintf("server-%d:1", n) }

// close ends the servers as Abort does, and fails the test if they still count anything.
func (c *network) close() {
	for i, f := range c.servers {
		f.Drain()
		c.ends[i].Stop()
		c.replicas[i].Stop()
		f.cfg.Port.Stop()
		f.AwaitStreams()
	}
	c.idle()
	c.serving.Wait()
	c.copiers.Wait()
	c.net.Close()
}

// defaults are the bounds of a newNetwork.
var defaults = clients.Limits{}.WithDefaults()

// figures are what the clients of a server have in progress.
func (s *Server) figures() (sample metrics.Sample) {
	s.cfg.Port.Sample(&sample)
	return sample
}

// idle fails the test if a server still counts anything as in progress.
func (c *network) idle() {
	c.t.Helper()
	for i, f := range c.servers {
		if n, b := f.figures().Requests, f.figures().RequestBytes; n != 0 || b != 0 {
			c.t.Errorf("server %d still counts %d requests, %d bytes", i+1, n, b)
		}
	}
}

// leader waits until a server leads.
func (c *network) leader() *Server {
	c.t.Helper()
	for range 1000 {
		for i, r := range c.replicas {
			if r.Node.Leads() {
				return c.servers[i]
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("nobody leads for 10 s")
	return nil
}

// clerk returns a Clerk whose real network runs over such connections.
func (c *network) clerk(options ...clerk.Option) *clerk.Clerk {
	ck, err := clerk.New([]string{addressOf(1), addressOf(2), addressOf(3)}, append(options, clerk.WithDialer(c.dial))...)
	if err != nil {
		c.t.Fatal(err)
	}
	return ck
}

func (c *network) dial(ctx context.Context, address string) (net.Conn, error) {
	var n int
	if _, err := fmt.Sscanf(address, "server-%d:1", &n); err != nil {
		return nil, err
	}
	switch w := c.linkState.get(); {
	case w.refuses:
		return nil, errors.New("connection refused")
	case w.hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	far, err := c.listeners[n-1].DialContext(ctx)
	if err != nil {
		return nil, err
	}
	// A socket's buffer lies between the client and the faults.
	l := bufconn.Listen(64 << 10)
	accepted := make(chan net.Conn, 1)
	c.copiers.Go(func() {
		mid, _ := l.Accept()
		accepted <- mid
	})
	near, err := l.DialContext(context.Background())
	if err != nil {
		return nil, err
	}
	mid := <-accepted
	r := &clientConn{Conn: near, linkState: &c.linkState, closed: make(chan struct{})}
	c.copiers.Go(func() { r.copyBytes(far, mid, true) })
	c.copiers.Go(func() { r.copyBytes(mid, far, false) })
	return r, nil
}

// conditions are the faults of connections.
type conditions struct {
	refuses, hangs            bool // no new connections: refused at once, or never answered
	stallsThere, stallsReturn bool // what is under way waits, for as long as this lasts
	delay                     time.Duration
}

// linkState holds the conditions of all connections now.
type linkState struct {
	mu      sync.Mutex
	now     conditions
	changed chan struct{}
}

func (w *linkState) get() conditions {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *linkState) set(now conditions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
	close(w.changed)
	w.changed = make(chan struct{})
}

// clientConn is a client's connection. As over TCP, bytes arrive late or not at all, but never
// without those before.
type clientConn struct {
	net.Conn  // the client's end
	linkState *linkState
	once      sync.Once
	closed    chan struct{}
}

func (r *clientConn) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.Conn.Close()
}

// pump carries one direction until either end is closed.
func (r *clientConn) copyBytes(dst, src net.Conn, there bool) {
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

// pass waits until the conditions let a piece through. It is false if the client has closed.
func (r *clientConn) pass(there bool) bool {
	for {
		r.linkState.mu.Lock()
		now, changed := r.linkState.now, r.linkState.changed
		r.linkState.mu.Unlock()
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

// fakeStream is a client's stream as gRPC shows it to Server.Exchange.
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
