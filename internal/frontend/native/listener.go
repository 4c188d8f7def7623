package native

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"balsa.example/internal/fair"
)

// A client is one connection, and gRPC calls handlers without it. So the client travels:
//
//  1. listener.Accept makes a client of each connection.
//  2. clientCredentials hand it to gRPC, as part of what the handshake found.
//  3. An interceptor, or the handler of a stream, takes it from the context (clientOf).

// listener accepts connections up to ClientLimits.Connections.
type listener struct {
	fair.Listener
	clients *clients
}

func (c *clients) listener(l net.Listener) net.Listener {
	return &listener{fair.Listener{Listener: l, Slots: c.slots}, c}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	placed := conn.(*fair.Conn)
	setUserTimeout(placed.Conn, pingTimeout)
	return l.clients.add(conn, placed.Slot(), fair.Source(conn.RemoteAddr())), nil
}

// clientCredentials wrap credentials so that gRPC knows the client of a connection.
type clientCredentials struct {
	credentials.TransportCredentials
	clients *clients
}

// clientAuthInfo is what gRPC keeps of a handshake.
type clientAuthInfo struct {
	credentials.AuthInfo
	client *client
}

// ServerHandshake implements credentials.TransportCredentials.
func (c clientCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cl, ok := raw.(*client)
	if !ok { // a test serves on a listener of its own
		cl = c.clients.add(raw, nil, fair.Source(raw.RemoteAddr()))
	}
	conn, info, err := c.TransportCredentials.ServerHandshake(cl)
	if err != nil {
		cl.Close()
		return nil, nil, err
	}
	return newTrackedConn(conn, cl), clientAuthInfo{info, cl}, nil
}

// Clone implements credentials.TransportCredentials.
func (c clientCredentials) Clone() credentials.TransportCredentials {
	return clientCredentials{c.TransportCredentials.Clone(), c.clients}
}

// clientOf returns the client of a stream or call. done must be called when that has ended.
func (c *clients) clientOf(ctx context.Context) (cl *client, done func()) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(clientAuthInfo); ok {
			return info.client, func() {}
		}
	}
	cl = c.add(nil, nil, "") // the handler was called without gRPC
	return cl, cl.remove
}

// errTooManyStreams refuses a stream or call.
var errTooManyStreams = status.Error(codes.ResourceExhausted, "this server has too many streams")

// unary is a grpc.UnaryServerInterceptor.
func (c *clients) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, serve grpc.UnaryHandler) (any, error) {
	cl, done := c.clientOf(ctx)
	defer done()
	if !cl.open.enter() {
		return nil, errTooManyStreams
	}
	defer cl.open.leave()
	return serve(ctx, req)
}

// stream is a grpc.StreamServerInterceptor.
func (c *clients) stream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, serve grpc.StreamHandler) error {
	cl, done := c.clientOf(s.Context())
	defer done()
	if !cl.open.enter() {
		return errTooManyStreams
	}
	defer cl.open.leave()
	return serve(srv, s)
}

// addStream lets closeStalled look at when a stream has begun to send, until removeStream.
func (cl *client) addStream(sendingSince *atomic.Int64) {
	cl.clients.mu.Lock()
	defer cl.clients.mu.Unlock()
	cl.sending[sendingSince] = struct{}{}
}

func (cl *client) removeStream(sendingSince *atomic.Int64) {
	cl.clients.mu.Lock()
	defer cl.clients.mu.Unlock()
	delete(cl.sending, sendingSince)
}
