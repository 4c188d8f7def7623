package native

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"balsa.example/internal/certs"
	"balsa.example/internal/ratelog"
)

// credentials is what the gRPC server takes connections with.
func (s *Server) credentials() credentials.TransportCredentials {
	if s.cfg.TLS == nil {
		return insecure.NewCredentials()
	}
	return &gate{TransportCredentials: credentials.NewTLS(s.cfg.TLS), conf: s.cfg.TLS, refused: s.refused}
}

// RefusedByTLS is how many clients were refused in the handshake of TLS.
func (s *Server) RefusedByTLS() uint64 { return s.refused.Count() }

// ProtocolHTTP2 is what gRPC speaks in TLS: Config.TLS must offer it.
const ProtocolHTTP2 = "h2"

// gate is TLS that tells whom it refuses, and why.
type gate struct {
	credentials.TransportCredentials
	conf    *tls.Config
	refused *ratelog.Logger
}

// Clone is credentials.TransportCredentials'.
func (g *gate) Clone() credentials.TransportCredentials { return g }

// ServerHandshake is credentials.TransportCredentials'. gRPC has set a deadline.
func (g *gate) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	opening := &opening{Conn: raw, left: maxHandshakeBytes}
	conn := tls.Server(opening, g.conf)
	err := conn.Handshake()
	opening.over = true
	if err == nil && conn.ConnectionState().NegotiatedProtocol != ProtocolHTTP2 {
		err = errors.New("the client does not offer HTTP/2 (ALPN)")
	}
	if err == nil {
		return conn, credentials.TLSInfo{
			State:          conn.ConnectionState(),
			CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		}, nil
	}
	err = certs.RefusePlain(err)
	g.refused.Warn("client refused", "address", raw.RemoteAddr(), "reason", err)
	linger(raw)
	return nil, nil, err
}

// maxHandshakeBytes bounds what a client may send before the handshake of TLS is over. Package
// tls keeps 64 KiB of an unfinished message, and more of a certificate, of whoever connects.
const maxHandshakeBytes = 24 << 10

// opening is a connection from which only so much can be read before the handshake is over.
type opening struct {
	net.Conn
	left int
	over bool // set before anybody else reads
}

var errLongHandshake = fmt.Errorf("the client sent %d bytes, and the handshake is not over", maxHandshakeBytes)

// Read implements net.Conn.
func (o *opening) Read(b []byte) (int, error) {
	if o.over {
		return o.Conn.Read(b)
	}
	if o.left == 0 {
		return 0, errLongHandshake
	}
	n, err := o.Conn.Read(b[:min(len(b), o.left)])
	o.left -= n
	return n, err
}

// lingerMax bounds how long, and lingerBytes for how much, linger waits.
const (
	lingerMax   = 500 * time.Millisecond
	lingerBytes = 64 << 10
)

// linger closes the connection when the client has: closing it first would reset it, if
// something that the client has sent is unread, and the alert could be lost.
func linger(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // behind the alert
	}
	if conn.SetDeadline(time.Now().Add(lingerMax)) == nil {
		io.CopyN(io.Discard, conn, lingerBytes)
	}
	conn.Close()
}

// Bounds of what is logged about clients that are refused: so many lines in so much time.
const (
	refusalLines  = 10
	refusalPeriod = 10 * time.Second
)
