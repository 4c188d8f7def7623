package grpcserver

import (
	"sync/atomic"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// method is one that was registered.
type method struct {
	name       string // as gRPC says it: /package.Service/Method
	service    any
	maxMessage int                // bytes that a message of a client may have
	unary      grpc.MethodHandler // nil for a stream
	stream     *grpc.StreamDesc   // nil for a unary method
}

// workers run handlers. Those that have nothing to do wait for more, and keep their stacks: a new
// goroutine's has to grow.
type workers struct {
	calls chan *stream
	idle  atomic.Int64
}

// maxIdle is how many wait at most.
const maxIdle = 512

// dispatch has a worker call the method of a stream. Handlers may run for longer than their streams, but
// there are not more than twice as many as there may be streams.
func (c *conn) dispatch(st *stream) error {
	s := c.server
	if c.running.Add(1) > 2*int64(s.cfg.MaxStreams) {
		c.running.Add(-1)
		return reset{http2.ErrCodeRefusedStream, "too many handlers"}
	}
	c.mu.Lock()
	c.tellStreams() // before the handler is counted
	c.mu.Unlock()
	select {
	case s.workers.calls <- st:
	default:
		s.work.Go(func() { s.call(st) })
	}
	return nil
}

// call runs the handler of a stream, and then those of others.
func (s *Server) call(st *stream) {
	for {
		st.call()
		if s.workers.idle.Add(1) > maxIdle {
			s.workers.idle.Add(-1)
			return
		}
		select {
		case st = <-s.workers.calls:
			s.workers.idle.Add(-1)
		case <-s.done:
			s.workers.idle.Add(-1)
			return
		}
	}
}

// call runs the handler.
func (st *stream) call() {
	defer st.conn.running.Add(-1)
	if st.request.method.stream != nil {
		st.serve()
		return
	}
	data, err := st.answer()
	t := st.trailersOf(err)
	st.finish(data, t)
}

// answer answers a unary call.
func (st *stream) answer() (mem.BufferSlice, error) {
	m, cfg := st.request.method, &st.conn.server.cfg
	resp, err := m.unary(m.service, &st.ctx, st.decodeRequest, cfg.Unary)
	if err != nil {
		return nil, err
	}
	return st.encode(resp)
}

// serve answers a stream.
func (st *stream) serve() {
	m, cfg := st.request.method, &st.conn.server.cfg
	var err error
	if cfg.Stream == nil {
		err = m.stream.Handler(m.service, st)
	} else {
		info := &grpc.StreamServerInfo{FullMethod: m.name, IsClientStream: m.stream.ClientStreams, IsServerStream: m.stream.ServerStreams}
		err = cfg.Stream(m.service, st, info, m.stream.Handler)
	}
	st.finish(nil, st.trailersOf(err))
}

// trailersOf ends a response as the error of a handler says.
func (st *stream) trailersOf(err error) (t trailers) {
	if err != nil {
		s, ok := status.FromError(err)
		if !ok {
			s = status.FromContextError(err)
		}
		t.status = s
	}
	if t.extra, err = encodeMetadata(st.trailers); err != nil {
		return trailers{status: status.Convert(err)}
	}
	return t
}
