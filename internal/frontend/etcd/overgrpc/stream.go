package overgrpc

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd/translate"
)

// stream is a grpc.ServerStream as methods see it.
type stream struct {
	grpc.ServerStream
	closed context.Context // ends when the server drains

	mu    sync.Mutex
	ctx   context.Context // ends with the stream, or when the server drains; nil: nobody has asked for it
	free  func()          // what ctx holds
	ended bool
}

// Context implements etcd.Stream. Most streams of a single keep-alive never ask for it.
func (s *stream) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ctx != nil:
		return s.ctx
	case s.ended:
		return s.ServerStream.Context()
	}
	ctx, cancel := context.WithCancelCause(s.ServerStream.Context())
	stop := context.AfterFunc(s.closed, func() { cancel(translate.ErrStopped) })
	s.ctx, s.free = ctx, func() {
		stop()
		cancel(nil)
	}
	return ctx
}

// Stopping implements etcd.Stream.
func (s *stream) Stopping() <-chan struct{} { return s.closed.Done() }

// cause tells why the context has ended; nil: it has not, or nobody has asked for it.
func (s *stream) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		return nil
	}
	return context.Cause(s.ctx)
}

// end notes that the method has returned.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended = true; s.free != nil {
		s.free()
	}
}

// Receive implements etcd.Stream.
func (s *stream) Receive(m proto.Message) error { return s.RecvMsg(m) }

// Send implements etcd.Stream.
func (s *stream) Send(m proto.Message) error { return s.SendMsg(m) }
