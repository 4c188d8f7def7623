package clients

import (
	"crypto/tls"
	"net"
	"time"

	"google.golang.org/grpc/credentials"

	"balsa.example/internal/fair"
)

// A client is one connection, and handlers are called without it. So the client travels:
//
//  1. listener.Accept makes a client of each connection.
//  2. Port.handshake hands it to the server of gRPC, as part of what the handshake found.
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

// clientAuthInfo is what the handshake of a connection found.
type clientAuthInfo struct {
	client *Client
	secure *tls.ConnectionState // nil: it has no TLS
}

// AuthType implements credentials.AuthInfo.
func (i clientAuthInfo) AuthType() string {
	if i.secure == nil {
		return "insecure"
	}
	return "tls"
}

// handshake is that of grpcserver.Config. A connection of a client that does not speak gRPC leaves it here.
func (p *Port) handshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cl, ok := raw.(*Client)
	if !ok { // a test serves on a listener of its own
		cl = p.add(raw, nil, fair.Source(raw.RemoteAddr()))
		cl.plain = p.tls == nil
	}
	if p.closing.Load() {
		cl.Close()
		return nil, nil, net.ErrClosed
	}
	conn, info := net.Conn(cl), clientAuthInfo{client: cl}
	if !cl.plain {
		secure, err := serveTLS(cl, p.tls, p.refused)
		if err != nil {
			cl.Close()
			return nil, nil, err
		}
		state := secure.ConnectionState()
		conn, info.secure = secure, &state
	}
	conn, speaks, err := sniff(conn, p.limits.Streams)
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
		p.http.give(conn, cl)
		return nil, nil, credentials.ErrConnDispatched
	}
	in := &traffic{client: cl}
	cl.traffic.Store(in)
	return &countedConn{conn, in}, info, nil
}
