package transport

import (
	"crypto/tls"
	"fmt"
	"net"

	"balsa.example/internal/certs"
	"balsa.example/raft"
)

// shakeHands does the handshake of TLS, if conn has it. The caller has set a deadline.
func (t *Transport) shakeHands(conn net.Conn) error {
	c, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	if err := c.Handshake(); err != nil {
		t.unproven.Add(1)
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return nil
}

// greet is shakeHands with somebody who has dialed.
func (t *Transport) greet(conn net.Conn) error {
	err := t.shakeHands(conn)
	if err != nil {
		err = certs.RefusePlain(err)
		linger(conn.(*tls.Conn).NetConn()) // so that the alert is read
	}
	return err
}

// authorize decides whether the other end of conn may be node id. Without TLS there is
// nothing to decide by.
func (t *Transport) authorize(conn net.Conn, id raft.NodeID) error {
	c, ok := conn.(*tls.Conn)
	if !ok || t.cfg.Authorize == nil {
		return nil
	}
	err := t.cfg.Authorize(id, c.ConnectionState())
	if err != nil {
		t.unproven.Add(1)
	}
	return err
}

// meet finds out that the other end of conn, which was dialed, is node id.
func (t *Transport) meet(conn net.Conn, id raft.NodeID) error {
	if err := t.shakeHands(conn); err != nil {
		if certs.Plain(err) {
			return fmt.Errorf("the other side does not speak TLS: it has neither certificates nor a cluster secret (%w)", err)
		}
		return err
	}
	return t.authorize(conn, id)
}
