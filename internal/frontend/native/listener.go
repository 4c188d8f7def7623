package native

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"balsa.example/internal/fair"
)

// How gRPC's connections and streams become those of clients: the listener makes a client
// of each connection, the introducer tells gRPC which client's it is, and whoever serves a
// stream asks for it (of).

// listener accepts clients of whom there may be only so many.
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
	return l.clients.join(conn, placed.Slot(), fair.Source(conn.RemoteAddr())), nil
}

// introducer is credentials that tell whose connection it is.
type introducer struct {
	credentials.TransportCredentials
	clients *clients
}

// introduced is what it tells.
type introduced struct {
	credentials.AuthInfo
	client *client
}

// ServerHandshake implements credentials.TransportCredentials.
func (i introducer) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cl, ok := raw.(*client)
	if !ok { // of another listener
		cl = i.clients.join(raw, nil, fair.Source(raw.RemoteAddr()))
	}
	conn, info, err := i.TransportCredentials.ServerHandshake(cl)
	if err != nil {
		cl.Close()
		return nil, nil, err
	}
	return newIntake(conn, cl), introduced{info, cl}, nil
}

// Clone implements credentials.TransportCredentials.
func (i introducer) Clone() credentials.TransportCredentials {
	return introducer{i.TransportCredentials.Clone(), i.clients}
}

// of returns the client whose stream it is. leave must be called in the end.
func (c *clients) of(ctx context.Context) (cl *client, leave func()) {
	if p, ok := peer.FromContext(ctx); ok {
		if is, ok := p.AuthInfo.(introduced); ok {
			return is.client, func() {}
		}
	}
	cl = c.join(nil, nil, "") // not by gRPC
	return cl, cl.leave
}

// errTooManyStreams refuses one.
var errTooManyStreams = status.Error(codes.ResourceExhausted, "this server has too many streams")

// unary is a grpc.UnaryServerInterceptor.
func (c *clients) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, serve grpc.UnaryHandler) (any, error) {
	cl, leave := c.of(ctx)
	defer leave()
	if !cl.held.enter() {
		return nil, errTooManyStreams
	}
	defer cl.held.leave()
	return serve(ctx, req)
}

// stream is a grpc.StreamServerInterceptor.
func (c *clients) stream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, serve grpc.StreamHandler) error {
	cl, leave := c.of(s.Context())
	defer leave()
	if !cl.held.enter() {
		return errTooManyStreams
	}
	defer cl.held.leave()
	return serve(srv, s)
}

// began and over take note of a stream that can stall.
func (cl *client) began(x *exchange) {
	cl.clients.mu.Lock()
	defer cl.clients.mu.Unlock()
	cl.exchanges[x] = struct{}{}
}

func (cl *client) over(x *exchange) {
	cl.clients.mu.Lock()
	defer cl.clients.mu.Unlock()
	delete(cl.exchanges, x)
}
