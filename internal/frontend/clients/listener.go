package clients

import (
	"net"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"balsa.example/internal/fair"
)

// A client is one connection, and gRPC calls handlers without it. So the client travels:
//
//  1. listener.Accept makes a client of each connection.
//  2. clientCredentials hand it to gRPC, as part of what the handshake found.
//  3. An interceptor, or the handler of a stream, takes it from the context (Port.ClientOf).
//
// Connections on which gRPC is not spoken are found out in step 2, and go to an http.Server
// (http.go).

// listener accepts connections up to Limits.Connections.
type listener struct {
	fair.Listener
	port  *Port
	plain bool // without TLS
}

func (p *Port) listener(l net.Listener, plain bool) net.Listener {
	return &listener{fair.Listener{Listener: l, Slots: p.slots}, p, plain}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	placed := conn.(*fair.Conn)
	setUserTimeout(placed.Conn, l.port.alive.Timeout)
	cl := l.port.add(conn, placed.Slot(), fair.Source(conn.RemoteAddr()))
	cl.plain = l.plain
	return cl, nil
}

// clientCredentials wrap credentials so that gRPC knows the client of a connection.
type clientCredentials struct {
	credentials.TransportCredentials
	port *Port
}

// clientAuthInfo is what gRPC keeps of a handshake.
type clientAuthInfo struct {
	credentials.AuthInfo
	client *Client
}

// ServerHandshake implements credentials.TransportCredentials. A connection of a client that does
// not speak gRPC leaves gRPC here.
func (c clientCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cl, ok := raw.(*Client)
	if !ok { // a test serves on a listener of its own
		cl = c.port.add(raw, nil, fair.Source(raw.RemoteAddr()))
	}
	if c.port.closing.Load() {
		cl.Close()
		return nil, nil, net.ErrClosed
	}
	security := c.TransportCredentials
	if cl.plain {
		security = insecure.NewCredentials()
	}
	conn, info, err := security.ServerHandshake(cl)
	if err != nil {
		cl.Close()
		return nil, nil, err
	}
	conn, speaks, err := sniff(conn, c.port.limits.Streams)
	if err == nil {
		cl.speaks(speaks)
	}
	switch {
	case err != nil:
		cl.Close()
		return nil, nil, err
	case speaks != speaksGRPC:
		cl.left.Store(true)
		cl.Conn.SetDeadline(time.Time{})
		c.port.http.give(conn, cl)
		return nil, nil, credentials.ErrConnDispatched
	}
	in := &traffic{client: cl}
	cl.traffic.Store(in)
	return &countedConn{conn, in}, clientAuthInfo{info, cl}, nil
}

// Clone implements credentials.TransportCredentials.
func (c clientCredentials) Clone() credentials.TransportCredentials {
	return clientCredentials{c.TransportCredentials.Clone(), c.port}
}
