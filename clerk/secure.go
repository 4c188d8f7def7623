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

// security gives the TLS configuration of the next connection, nil for none at all.
type security func() *tls.Config

// newSecurity returns what the options ask for; nil if they say nothing of TLS.
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

// plainOrDefault is for who says nothing of TLS: the endpoints do.
func plainOrDefault(secure bool) security {
	if secure {
		return func() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
	}
	return func() *tls.Config { return nil }
}

// handshake is the credentials of one link, in gRPC's words: plain or TLS. It remembers
// why the two ends do not get along, which gRPC tells as text only, and late.
type handshake struct {
	credentials.TransportCredentials
	security security

	mu  sync.Mutex
	why error // an ErrTLS, of the last attempt to connect; nil if it was not that
}

func newHandshake(s security) *handshake {
	h := &handshake{TransportCredentials: insecure.NewCredentials(), security: s}
	if conf := s(); conf != nil {
		h.TransportCredentials = credentials.NewTLS(conf) // for what it says of itself
	}
	return h
}

// Clone is credentials.TransportCredentials': what a copy learns is of the same link.
func (h *handshake) Clone() credentials.TransportCredentials { return h }

// ClientHandshake is credentials.TransportCredentials'.
func (h *handshake) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conf := h.security()
	if conf == nil {
		conn, info, err := insecure.NewCredentials().ClientHandshake(ctx, authority, raw)
		return &firstRead{Conn: conn, judge: func(b []byte, _ error) { h.note(diagnosePlain(b)) }}, info, err
	}
	conn, info, err := credentials.NewTLS(conf).ClientHandshake(ctx, authority, raw)
	shows := len(conf.Certificates) > 0 || conf.GetClientCertificate != nil
	if err != nil {
		h.note(diagnose(err, shows))
		return nil, nil, err
	}
	// With TLS 1.3 a server judges the client's certificate after the client has finished.
	return &firstRead{Conn: conn, judge: func(_ []byte, err error) { h.note(diagnose(err, shows)) }}, info, nil
}

// note sets why the attempt to connect failed; nil: not for a reason of TLS.
func (h *handshake) note(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why = why
}

// explain returns the reason of TLS for err, the failure of something on the link, if
// there is one.
func (h *handshake) explain(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why != nil {
		return h.why
	}
	return err
}

// firstRead shows what the first read from a connection yields. One goroutine reads.
type firstRead struct {
	net.Conn
	judge func(b []byte, err error) // nil after the first
}

func (c *firstRead) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.judge != nil {
		c.judge(b[:n], err)
		c.judge = nil
	}
	return n, err
}
