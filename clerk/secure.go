package clerk

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"balsa.example/internal/certs"
)

// security returns the TLS configuration of the next connection, nil for plain TCP.
type security func() *tls.Config

// newSecurity returns the security that the options ask for, nil if none is about TLS.
func (o *config) newSecurity() (security, error) {
	switch {
	case o.tls != nil:
		return func() *tls.Config { return o.tls }, nil
	case o.tlsFiles != nil:
		source, err := certs.Open("client", *o.tlsFiles, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, fmt.Errorf("load TLS files: %w", err)
		}
		return func() *tls.Config { return source.Current().Client() }, nil
	default:
		return nil, nil
	}
}

// plainOrDefault is for options without TLS: the endpoints decide.
func plainOrDefault(secure bool) security {
	if secure {
		return func() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
	}
	return func() *tls.Config { return nil }
}

// handshake makes the connections of one link plain or TLS: gRPC calls this credentials. It
// keeps the latest TLS error, since gRPC returns it as text only, and late.
type handshake struct {
	credentials.TransportCredentials
	security security

	mu  sync.Mutex
	why error // the latest ErrTLS of an attempt to connect; nil after one that succeeded, or did not reach the server
}

func newHandshake(s security) *handshake {
	h := &handshake{TransportCredentials: insecure.NewCredentials(), security: s}
	if conf := s(); conf != nil {
		h.TransportCredentials = credentials.NewTLS(conf) // for its Info
	}
	return h
}

// Clone implements credentials.TransportCredentials. A copy is for the same link, so that it
// shares the error.
func (h *handshake) Clone() credentials.TransportCredentials { return h }

// ClientHandshake implements credentials.TransportCredentials.
func (h *handshake) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conf := h.security()
	if conf == nil {
		conn, info, err := insecure.NewCredentials().ClientHandshake(ctx, authority, raw)
		return &firstRead{Conn: conn, judge: func(b []byte, _ error) { h.note(diagnosePlain(b), len(b) > 0) }}, info, err
	}
	conn, info, err := credentials.NewTLS(conf).ClientHandshake(ctx, authority, raw)
	shows := len(conf.Certificates) > 0 || conf.GetClientCertificate != nil
	if err != nil {
		h.note(diagnose(err, shows), false)
		return nil, nil, err
	}
	// With TLS 1.3 a server verifies the client's certificate after the client's handshake has
	// ended.
	return &firstRead{Conn: conn, judge: func(_ []byte, err error) { h.note(diagnose(err, shows), err == nil) }}, info, nil
}

// note notes the TLS error of an attempt to connect, or that it succeeded or did not get so far. A handshake that
// was cut short says nothing about TLS, nor does an attempt that has just begun: gRPC may tell the error of
// the attempt before after that.
func (h *handshake) note(why error, none bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if why != nil || none {
		h.why = why
	}
}

// explain returns the TLS error that caused err, an error of the link; err itself if there is
// none.
func (h *handshake) explain(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why != nil {
		return h.why
	}
	return err
}

// firstRead passes the result of the first read from a connection to judge. One goroutine
// reads.
type firstRead struct {
	net.Conn
	judge func(b []byte, err error) // nil after the first read
}

func (c *firstRead) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.judge != nil {
		c.judge(b[:n], err)
		c.judge = nil
	}
	return n, err
}
