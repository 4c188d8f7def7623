package fair

import "net"

// Listener accepts connections for which there are Slots. It closes all others at once,
// so that their clients need not wait to be heard.
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

// Conn is a connection that has a Slot until it is closed.
type Conn struct {
	net.Conn
	slot *Slot
}

// Slot is the connection's place.
func (c *Conn) Slot() *Slot { return c.slot }

// CloseWrite closes one direction of the connection, if it can be closed alone.
func (c *Conn) CloseWrite() error { return CloseWrite(c.Conn) }

// CloseWrite closes the direction of a connection in which this side writes. Where that
// is not possible it does nothing.
func CloseWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.slot.Leave()
	return err
}
