package grpcserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
)

// Config says how to serve. Codec and Handshake are required, and all sizes and times.
type Config struct {
	// Codec encodes messages, whatever a client calls its encoding.
	Codec encoding.CodecV2
	// Unary and Stream are called in the place of handlers, which they call. nil: handlers are called.
	Unary  grpc.UnaryServerInterceptor
	Stream grpc.StreamServerInterceptor

	// Handshake makes of a connection that was accepted one that speaks HTTP/2. If it returns
	// credentials.ErrConnDispatched the connection is somebody else's. It has HandshakeTimeout.
	Handshake        func(net.Conn) (net.Conn, credentials.AuthInfo, error)
	HandshakeTimeout time.Duration

	// Values adds what handlers want to know of the metadata of a call. It is called once for headers that a
	// client repeats. nil: nothing is added.
	Values func(context.Context) context.Context
	// Observe returns who is told what the client of a connection does, whose handshake had that result.
	// nil: nobody.
	Observe func(credentials.AuthInfo) Observer

	// MaxStreams bounds the streams of a connection, MaxHeaderBytes the headers of one of them,
	// MaxMessageBytes a message.
	MaxStreams, MaxHeaderBytes, MaxMessageBytes int
	// StreamWindow is how many bytes a client may send on a stream that its handler has not taken,
	// ConnWindow how many it may send on all before it hears that they have come. They are at least
	// those that HTTP/2 begins with, 65,535.
	StreamWindow, ConnWindow int

	// Clients may ping once in MinPing. After Idle of silence the server pings; if nothing comes within
	// PingTimeout it closes the connection.
	MinPing, Idle, PingTimeout time.Duration
}

// Server is a server of gRPC.
type Server struct {
	cfg      Config
	methods  map[string]*method
	services map[string]grpc.ServiceInfo
	workers  workers
	work     sync.WaitGroup // connections, and handlers
	done     chan struct{}  // closed by Stop

	decompressing chan struct{} // has one for each message that is being decompressed

	mu        sync.Mutex
	serving   bool
	stopping  bool
	listeners map[net.Listener]struct{}
	raw       map[net.Conn]struct{} // those whose handshake is not over
	conns     map[*conn]struct{}
	fewer     *sync.Cond // a connection has ended
}

// New returns a Server without services.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, methods: make(map[string]*method), services: make(map[string]grpc.ServiceInfo),
		workers: workers{calls: make(chan *stream)}, done: make(chan struct{}), decompressing: make(chan struct{}, maxDecompressing),
		listeners: make(map[net.Listener]struct{}), raw: make(map[net.Conn]struct{}), conns: make(map[*conn]struct{}),
	}
	s.fewer = sync.NewCond(&s.mu)
	return s
}

// RegisterService implements grpc.ServiceRegistrar. It must be called before Serve.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, service any) {
	s.RegisterBounded(desc, service, s.cfg.MaxMessageBytes)
}

// RegisterBounded is RegisterService for a service to which clients send messages of at most maxMessageBytes
// bytes, and of Config.MaxMessageBytes.
func (s *Server) RegisterBounded(desc *grpc.ServiceDesc, service any, maxMessageBytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.services[desc.ServiceName]; twice || s.serving {
		panic(fmt.Sprintf("grpcserver: service %s is registered twice, or too late", desc.ServiceName))
	}
	info, most := grpc.ServiceInfo{Metadata: desc.Metadata}, min(maxMessageBytes, s.cfg.MaxMessageBytes)
	for _, m := range desc.Methods {
		name := "/" + desc.ServiceName + "/" + m.MethodName
		s.methods[name] = &method{name: name, service: service, maxMessage: most, unary: m.Handler}
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: m.MethodName})
	}
	for _, d := range desc.Streams {
		name := "/" + desc.ServiceName + "/" + d.StreamName
		s.methods[name] = &method{name: name, service: service, maxMessage: most, stream: &d}
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: d.StreamName, IsClientStream: d.ClientStreams, IsServerStream: d.ServerStreams})
	}
	s.services[desc.ServiceName] = info
}

// GetServiceInfo lists the services, for reflection.
func (s *Server) GetServiceInfo() map[string]grpc.ServiceInfo { return s.services }

// Serve serves the connections of a listener until that fails, or the server stops. It closes the
// listener.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	s.serving = true
	if s.stopping {
		s.mu.Unlock()
		return grpc.ErrServerStopped
	}
	s.listeners[l] = struct{}{}
	s.work.Add(1)
	s.mu.Unlock()
	defer s.work.Done()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, l)
	}()
	wait := time.Duration(0)
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			wait = 0
			s.begin(nc)
		case s.isStopping():
			return nil
		case !isTemporary(err):
			return err
		default:
			wait = min(max(2*wait, minAcceptWait), maxAcceptWait)
			if !s.sleep(wait) {
				return nil
			}
		}
	}
}

// While there are no descriptors left for connections, Serve tries again after these times.
const (
	minAcceptWait = 5 * time.Millisecond
	maxAcceptWait = time.Second
)

func isTemporary(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary()
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// sleep tells whether the server still runs after d.
func (s *Server) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

// begin serves a connection in a goroutine of its own.
func (s *Server) begin(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		nc.Close()
		return
	}
	s.raw[nc] = struct{}{}
	s.work.Go(func() { s.serve(nc) })
}

func (s *Server) serve(raw net.Conn) {
	_ = raw.SetDeadline(time.Now().Add(s.cfg.HandshakeTimeout))
	nc, info, err := s.cfg.Handshake(raw)
	var c *conn
	s.mu.Lock()
	delete(s.raw, raw)
	if err == nil && !s.stopping {
		c = newConn(s, nc, info)
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	switch {
	case c != nil:
		c.serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	case err == nil:
		nc.Close()
	case !errors.Is(err, credentials.ErrConnDispatched):
		raw.Close()
	}
	s.fewer.Broadcast()
}

// Stop ends all streams and connections, and returns when no handler runs any more.
func (s *Server) Stop() {
	s.stopListening()
	s.mu.Lock()
	for nc := range s.raw {
		nc.Close()
	}
	for c := range s.conns {
		c.mu.Lock()
		c.kill()
		c.mu.Unlock()
	}
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	s.mu.Unlock()
	s.work.Wait()
}

// GracefulStop takes no new streams. It returns when those that there are have ended, or Stop was called.
func (s *Server) GracefulStop() {
	s.stopListening()
	s.mu.Lock()
	for c := range s.conns {
		c.drain()
	}
	for len(s.conns)+len(s.raw) > 0 {
		s.fewer.Wait()
	}
	s.mu.Unlock()
	s.Stop()
}

// stopListening takes no new connections.
func (s *Server) stopListening() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for l := range s.listeners {
		l.Close()
	}
}
