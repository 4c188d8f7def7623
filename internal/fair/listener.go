package fair

import (
	"errors"
	"net"
)

// Listener accepts connections for which there are Slots. It closes all others at once, so that
// their clients need not wait for an answer.
type Listener struct {
	net.Listener
	Slots *Slots
}

// Accept implements net.Listener. What it returns is a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		slot := l.Slots.Take(Source(conn.RemoteAddr()), func() { conn.Close() })
		if slot == nil {
			conn.Close()
			continue
		}
		return &Conn{Conn: conn, slot: slot}, nil
	}
}

// Conn is a connection that holds a Slot until it is closed.
type Conn struct {
	net.Conn
	slot *Slot
}

// Slot returns the connection's slot.
func (c *Conn) Slot() *Slot { return c.slot }

// CloseWrite closes the direction in which this side writes: see the function CloseWrite.
func (c *Conn) CloseWrite() error { return CloseWrite(c.Conn) }

// CloseWrite closes the direction of a connection in which this side writes. If that cannot be closed
// alone it does nothing, and returns errors.ErrUnsupported.
func CloseWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.slot.Leave()
	return err
}
