package clients

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/grpcserver"
	"balsa.example/internal/metrics"
)

// ClientOf returns the client of a stream, a call or a request of HTTP. done must be called when that has ended.
func (p *Port) ClientOf(ctx context.Context) (cl *Client, done func()) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(clientAuthInfo); ok {
			return info.client, func() {}
		}
	}
	if cl, ok := ctx.Value(clientKey{}).(*Client); ok {
		return cl, func() {}
	}
	cl = p.Alone("") // the handler was called without gRPC
	return cl, cl.remove
}

// SourceOf is whom the client of a call shares with (package fair).
func (p *Port) SourceOf(ctx context.Context) string {
	cl, done := p.ClientOf(ctx)
	defer done()
	return cl.name
}

// errTooManyStreams refuses a stream or call.
var errTooManyStreams = status.Error(codes.ResourceExhausted, "this server has too many streams")

// statusOf is the code that gRPC sends for the error of a handler, and the text.
func statusOf(err error) (codes.Code, string) {
	if err == nil {
		return codes.OK, ""
	}
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(err)
	}
	return s.Code(), s.Message()
}

// end counts the end of a call.
func end(call *metrics.Call, began time.Time, err error) {
	code, text := statusOf(err)
	call.End(began, code, text)
}

// method is what the Port knows of a method of gRPC.
type method struct {
	call   *metrics.Call
	bounds *Bounds // of unary calls; nil: none
	// standard tells that it is of a service of gRPC itself: health, reflection.
	standard bool
}

// unary is a grpc.UnaryServerInterceptor.
func (p *Port) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, serve grpc.UnaryHandler) (resp any, err error) {
	m, began := p.methods[info.FullMethod], time.Now()
	m.call.Begin()
	defer func() { end(m.call, began, err) }()
	cl, done := p.ClientOf(ctx)
	defer done()
	if !cl.open.enter(false) {
		return nil, errTooManyStreams
	}
	size := 0
	defer func() { cl.open.leave(false, size) }()
	if m.bounds != nil {
		sum, ok := m.bounds.Begin(ctx, cl, req.(proto.Message), grpcserver.RequestBytes(ctx))
		if !ok {
			return nil, m.bounds.TooMany
		}
		defer cl.End(sum)
	}
	resp, err = serve(ctx, req)
	if err == nil {
		size = sizeOf(resp)
	}
	return resp, err
}

// sizeOf is the size of a response in bytes. Some are encoded already, and know theirs.
func sizeOf(resp any) int {
	switch m := resp.(type) {
	case interface{ Size() int }:
		return m.Size()
	case proto.Message:
		return proto.Size(m)
	}
	return 0
}

// stream is a grpc.StreamServerInterceptor.
func (p *Port) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, serve grpc.StreamHandler) (err error) {
	m, began := p.methods[info.FullMethod], time.Now()
	m.call.Begin()
	defer func() { end(m.call, began, err) }()
	cl, done := p.ClientOf(s.Context())
	defer done()
	if !cl.open.enter(true) {
		return errTooManyStreams
	}
	defer cl.open.leave(true, 0)
	sends := &sender{ServerStream: s, call: m.call}
	cl.addSender(sends)
	defer cl.removeSender(sends)
	if m.standard {
		return p.serveStandard(srv, sends, serve)
	}
	return serve(srv, sends)
}

// errStopping ends the streams of standard services when the Port stops.
var errStopping = status.Error(codes.Unavailable, "the server is stopping")

// serveStandard serves a stream whose client may keep it for ever, and whose handler does not know that the Port stops.
func (p *Port) serveStandard(srv any, s *sender, serve grpc.StreamHandler) error {
	stop := context.AfterFunc(p.drained, func() { grpcserver.Break(s.Context(), errStopping) })
	err := serve(srv, s)
	if !stop() && err != nil {
		return errStopping
	}
	return err
}

// sender is a stream that remembers since when it sends a message, so that closeStalled finds
// clients that do not read.
type sender struct {
	grpc.ServerStream
	call  *metrics.Call
	since stay // of a message that is handed to gRPC
}

// SendMsg implements grpc.ServerStream.
func (s *sender) SendMsg(m any) error {
	s.since.begin()
	defer s.since.end()
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.call.Sent()
	}
	return err
}

// RecvMsg implements grpc.ServerStream.
func (s *sender) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.call.Received()
	}
	return err
}

func (cl *Client) addSender(s *sender) {
	cl.port.mu.Lock()
	defer cl.port.mu.Unlock()
	cl.sending[s] = struct{}{}
}

func (cl *Client) removeSender(s *sender) {
	cl.port.mu.Lock()
	defer cl.port.mu.Unlock()
	delete(cl.sending, s)
}
