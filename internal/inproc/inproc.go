// Package inproc connects a client to a server in the same process, through memory in
// place of a socket. The server accepts from a Listener as from any net.Listener, and the
// client dials with that Listener's Dial or Dialer:
//
//	l := inproc.Listen()
//	go server.Serve(l)
//	ck, err := clerk.New([]string{"10.0.0.1:23790"}, clerk.WithDialer(l.Dialer("10.0.0.1:23790")))
package inproc

import (
	"context"
	"fmt"
	"net"
	"slices"
	"syscall"

	"google.golang.org/grpc/test/bufconn"

	"balsa.example/internal/dialing"
)

// bufferBytes is how much may be written to a connection, in each direction, before it is
// read. More makes the writer wait.
const bufferBytes = 64 << 10

// Listener accepts the connections that Dial makes. None waits in a queue: Dial returns
// when Accept has taken its connection.
type Listener struct {
	pipes *bufconn.Listener
}

// Listen returns a Listener. Close ends it, and leaves the connections open.
func Listen() *Listener { return &Listener{bufconn.Listen(bufferBytes)} }

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.pipes.Accept()
	if err != nil {
		return nil, net.ErrClosed // the only error of Accept
	}
	return conn{c}, nil
}

// Close implements net.Listener.
func (l *Listener) Close() error { return l.pipes.Close() }

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return address{} }

// Dial connects to the Listener, before ctx ends. The address is not looked at: a
// Listener has one only.
func (l *Listener) Dial(ctx context.Context, _ string) (net.Conn, error) {
	c, err := l.pipes.DialContext(ctx)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, fmt.Errorf("dial in process: %w", ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("dial in process: %w", syscall.ECONNREFUSED) // the Listener is closed
	}
	return conn{c}, nil
}

// Dialer returns a function that connects to the Listener if it is given one of own, and
// by TCP to any other address. So a client reaches the server in its process through
// memory, and the other servers of the cluster as usual. Own are addresses as the client
// dials them; a Clerk dials host:port in lower case.
func (l *Listener) Dialer(own ...string) func(ctx context.Context, address string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		if slices.Contains(own, address) {
			return l.Dial(ctx, address)
		}
		return dialing.Dial(ctx, address)
	}
}

// conn is one end of a connection.
type conn struct{ net.Conn }

func (conn) LocalAddr() net.Addr  { return address{} }
func (conn) RemoteAddr() net.Addr { return address{} }

// address is the address of both ends: what logs say of where a client connects from.
type address struct{}

func (address) Network() string { return "inproc" }
func (address) String() string  { return "in process" }
