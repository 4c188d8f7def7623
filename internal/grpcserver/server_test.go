package grpcserver

import (
	"context"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
)

// The methods of the service of tests.
const (
	call = "/test.Test/Call" // unary
	talk = "/test.Test/Talk" // a stream, both ways
	tell = "/test.Test/Tell" // a stream from the server, which echoes the one message
)

// service has the handlers of the methods. Those that are nil echo.
type service struct {
	call func(context.Context, []byte) ([]byte, error)
	talk func(grpc.ServerStream) error
}

func (s *service) desc() *grpc.ServiceDesc {
	unary := func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		var in []byte
		if err := decode(&in); err != nil {
			return nil, err
		}
		handler := func(ctx context.Context, in any) (any, error) {
			if s.call == nil {
				return in, nil
			}
			return s.call(ctx, in.([]byte))
		}
		if intercept == nil {
			return handler(ctx, in)
		}
		return intercept(ctx, in, &grpc.UnaryServerInfo{FullMethod: call}, handler)
	}
	stream := func(_ any, st grpc.ServerStream) error {
		if s.talk == nil {
			return echo(st)
		}
		return s.talk(st)
	}
	return &grpc.ServiceDesc{
		ServiceName: "test.Test",
		Methods:     []grpc.MethodDesc{{MethodName: "Call", Handler: unary}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Talk", Handler: stream, ClientStreams: true, ServerStreams: true},
			{StreamName: "Tell", Handler: tellOnce, ServerStreams: true},
		},
	}
}

// echo sends what it receives.
func echo(st grpc.ServerStream) error {
	for {
		var in []byte
		switch err := st.RecvMsg(&in); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		if err := st.SendMsg(in); err != nil {
			return err
		}
	}
}

// tellOnce sends the one message that it receives.
func tellOnce(_ any, st grpc.ServerStream) error {
	var in []byte
	if err := st.RecvMsg(&in); err != nil {
		return err
	}
	return st.SendMsg(in)
}

// hang is a handler that waits for the end of its context.
func hang(st grpc.ServerStream) error {
	<-st.Context().Done()
	return st.Context().Err()
}

// bytesCodec has messages that are bytes, in memory of a pool. An empty message has no buffer.
type bytesCodec struct{ pool *countingPool }

func (bytesCodec) Name() string { return "bytes" }

func (c bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	in := v.([]byte)
	if len(in) == 0 {
		return nil, nil
	}
	b := c.pool.Get(len(in))
	copy(*b, in)
	return mem.BufferSlice{mem.NewBuffer(b, c.pool)}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// countingPool counts the buffers that are in use.
type countingPool struct{ lent atomic.Int64 }

func (p *countingPool) Get(n int) *[]byte {
	p.lent.Add(1)
	b := make([]byte, n, max(n, 4<<10)) // grpc does not pool small ones
	return &b
}

func (p *countingPool) Put(*[]byte) { p.lent.Add(-1) }

// testServer is a server that listens in memory.
type testServer struct {
	*Server
	listener *pipeListener
	pool     *countingPool
}

func testConfig(pool *countingPool) Config {
	return Config{
		Codec:            bytesCodec{pool},
		Handshake:        func(nc net.Conn) (net.Conn, credentials.AuthInfo, error) { return nc, nil, nil },
		HandshakeTimeout: 5 * time.Second,
		MaxStreams:       16, MaxHeaderBytes: 8 << 10, MaxMessageBytes: 4 << 20,
		StreamWindow: 64 << 10, ConnWindow: 1 << 20,
		MinPing: 5 * time.Second, Idle: time.Hour, PingTimeout: 10 * time.Second,
	}
}

// serve serves until the test ends. It belongs into a bubble of synctest, which also demands that no
// goroutine stays.
func serve(t *testing.T, svc *service, change ...func(*Config)) *testServer {
	return serveBounded(t, svc, math.MaxInt, change...)
}

// serveBounded is serve for a service whose messages have at most maxMessage bytes.
func serveBounded(t *testing.T, svc *service, maxMessage int, change ...func(*Config)) *testServer {
	pool := new(countingPool)
	cfg := testConfig(pool)
	for _, f := range change {
		f(&cfg)
	}
	s := &testServer{New(cfg), newPipeListener(), pool}
	s.RegisterBounded(svc.desc(), nil, maxMessage)
	served := make(chan error)
	go func() { served <- s.Serve(s.listener) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if n := pool.lent.Load(); n != 0 {
			t.Errorf("%d buffers are in use in the end", n)
		}
	})
	return s
}

// conn returns the only connection, nil if there is none.
func (s *testServer) conn(t *testing.T) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) > 1 {
		t.Fatalf("there are %d connections", len(s.conns))
	}
	for c := range s.conns {
		return c
	}
	return nil
}

// wantQuiet checks that nothing is left of the streams of a connection.
func (c *conn) wantQuiet(t *testing.T) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.running.Load(); len(c.streams) > 0 || n > 0 || len(c.control) > 0 || c.ready.size() > 0 || c.starved.size() > 0 {
		t.Errorf("%d streams, %d handlers, %d bytes of control, %d ready and %d starved streams are left",
			len(c.streams), n, len(c.control), c.ready.size(), c.starved.size())
	}
	if c.turns.bytes != 0 || len(c.turns.waiting) > 0 {
		t.Errorf("%d bytes have their turn, and %d streams wait for it", c.turns.bytes, len(c.turns.waiting))
	}
}

// pipeListener accepts connections in memory, which have no buffers: what one side has not read, the
// other has not written.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (l *pipeListener) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// pattern is n bytes that differ by seed and place.
func pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed*31 + i + i>>8)
	}
	return b
}
