package clients

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"balsa.example/internal/certs"
	"balsa.example/internal/ratelog"
)

// RefusedByTLS is how many clients were refused in the handshake of TLS.
func (p *Port) RefusedByTLS() uint64 { return p.refused.Count() }

// Config.TLS must offer these protocols: what gRPC speaks, and what browsers and probes may prefer.
const (
	ProtocolHTTP2 = "h2"
	ProtocolHTTP1 = "http/1.1"
)

// serveTLS makes the handshake of TLS, and logs which clients it refuses, and why. The caller has set a deadline.
func serveTLS(raw net.Conn, conf *tls.Config, refused *ratelog.Logger) (*tls.Conn, error) {
	limited := &handshakeConn{Conn: raw, left: maxHandshakeBytes}
	conn := tls.Server(limited, conf)
	err := conn.Handshake()
	limited.over = true
	if err == nil {
		return conn, nil
	}
	err = certs.RefusePlain(err)
	refused.Warn("client refused", "address", raw.RemoteAddr(), "reason", err)
	linger(raw)
	return nil, err
}

// maxHandshakeBytes bounds what a client may send before the handshake of TLS is over. Without
// it package tls would keep 64 KiB of an unfinished message, and more of a certificate.
const maxHandshakeBytes = 24 << 10

// handshakeConn is a connection from which at most left bytes can be read before the handshake
// is over.
type handshakeConn struct {
	net.Conn
	left int
	over bool // set before anything else is read
}

var errLongHandshake = fmt.Errorf("the client sent %d bytes, and the handshake is not over", maxHandshakeBytes)

// Read implements net.Conn.
func (h *handshakeConn) Read(b []byte) (int, error) {
	if h.over {
		return h.Conn.Read(b)
	}
	if h.left == 0 {
		return 0, errLongHandshake
	}
	n, err := h.Conn.Read(b[:min(len(b), h.left)])
	h.left -= n
	return n, err
}

// linger waits for at most lingerMax and reads at most lingerBytes.
const (
	lingerMax   = 500 * time.Millisecond
	lingerBytes = 64 << 10
)

// linger closes the connection after the client has. To close it first, while bytes of the
// client are unread, would reset it, and the client might not get the alert.
func linger(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // behind the alert
	}
	if conn.SetDeadline(time.Now().Add(lingerMax)) == nil {
		io.CopyN(io.Discard, conn, lingerBytes)
	}
	conn.Close()
}

// At most RefusalLines lines about refused clients are logged per refusalPeriod.
const (
	RefusalLines  = 10
	refusalPeriod = 10 * time.Second
)
