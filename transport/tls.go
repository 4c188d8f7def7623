package transport

import (
	"crypto/tls"
	"fmt"
	"net"

	"balsa.example/internal/certs"
	"balsa.example/raft"
)

// handshakeTLS does the handshake of TLS, if conn has it. The caller has set a deadline.
func (t *Transport) handshakeTLS(conn net.Conn) error {
	c, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	if err := c.Handshake(); err != nil {
		t.unauthenticated.Add(1)
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return nil
}

// acceptTLS is the part of TLS on a connection that was accepted.
func (t *Transport) acceptTLS(conn net.Conn) error {
	err := t.handshakeTLS(conn)
	if err != nil {
		err = certs.RefusePlain(err)
		linger(conn.(*tls.Conn).NetConn()) // so that the alert is read
	}
	return err
}

// dialTLS is the part of TLS on a connection that was dialed, which should lead to node id.
func (t *Transport) dialTLS(conn net.Conn, id raft.NodeID) error {
	if err := t.handshakeTLS(conn); err != nil {
		return explainPlain(err)
	}
	return t.authorize(conn, id)
}

// explainPlain says of an error of the handshake of TLS that the other side does not speak it, if
// that is why.
func explainPlain(err error) error {
	if certs.Plain(err) {
		return fmt.Errorf("the other side does not speak TLS: it has neither certificates nor a cluster secret (%w)", err)
	}
	return err
}

// authorize decides whether the other end of conn may be node id. Without TLS there are no
// certificates to decide by.
func (t *Transport) authorize(conn net.Conn, id raft.NodeID) error {
	c, ok := conn.(*tls.Conn)
	if !ok || t.cfg.Authorize == nil {
		return nil
	}
	err := t.cfg.Authorize(id, c.ConnectionState())
	if err != nil {
		t.unauthenticated.Add(1)
	}
	return err
}

// clientTLS names the server that is dialed, unless c does.
func clientTLS(c *tls.Config, address string) *tls.Config {
	if c.ServerName != "" {
		return c
	}
	c = c.Clone()
	c.ServerName = address
	if host, _, err := net.SplitHostPort(address); err == nil {
		c.ServerName = host
	}
	return c
}
