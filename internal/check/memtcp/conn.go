package memtcp

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// direction is one direction of a connection. A goroutine (transmit) moves the bytes that
// were written to the other side.
type direction struct {
	from, to *Host
	queue    []byte // written, and not arrived yet
	arrived  []byte // arrived, and not read yet
	unacked  bool   // the latest that arrived is not acknowledged
	fin      bool   // the writer has closed its side
	finished bool   // and the reader has got all before that
	closed   bool   // the reader has closed its side
	reset    bool
}

// conn is one side of a connection. Everything in it is guarded by Net.mu.
type conn struct {
	host          *Host
	local, remote endpoint
	in, out       *direction
	closed        bool
	readBy        time.Time
	writeBy       time.Time
}

// connect makes a connection. Caller holds mu.
func (n *Net) connect(a, b *Host, port string) (near, far *conn) {
	out, in := &direction{from: a, to: b}, &direction{from: b, to: a}
	dialed, dialer := endpoint(net.JoinHostPort(b.address, port)), endpoint(net.JoinHostPort(a.address, "0"))
	near = &conn{host: a, local: dialer, remote: dialed, in: in, out: out}
	far = &conn{host: b, local: dialed, remote: dialer, in: out, out: in}
	a.conns[near], b.conns[far] = true, true
	for _, h := range []*direction{out, in} {
		n.running.Go(func() { n.transmit(h) })
	}
	return near, far
}

// transmit moves what is written to the other side, until all has arrived or the connection
// is reset.
func (n *Net) transmit(h *direction) {
	n.mu.Lock()
	defer n.mu.Unlock()
	resend := firstResend
	for !h.finished && !h.reset && n.open() {
		switch {
		case len(h.queue) == 0 && !h.fin && !h.unacked, len(h.arrived) >= buffer:
			n.wait(time.Time{})
			continue
		case n.send(h):
			resend = firstResend
		default:
			n.sleep(h, resend)
			resend = min(2*resend, lastResend)
			continue
		}
		if n.rate > 0 {
			n.sleep(h, time.Duration(segment)*time.Second/time.Duration(n.rate))
		}
	}
}

func (n *Net) open() bool {
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// sleep releases the lock for d, for less if the connection is reset.
func (n *Net) sleep(h *direction, d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until) && !h.reset && n.open(); {
		n.wait(until)
	}
}

// send sends one packet, and tells whether it was acknowledged. A host that does not know the
// connection answers with a reset.
func (n *Net) send(h *direction) bool {
	if !h.from.up || !n.passes(h.from.address, h.to.address) {
		return false
	}
	acked := n.passes(h.to.address, h.from.address)
	if !h.to.up || h.closed {
		h.reset = n.hosts[h.to.address] != nil && acked
		n.broadcast()
		return false
	}
	if !h.unacked {
		k := min(len(h.queue), segment)
		h.arrived = append(h.arrived, h.queue[:k]...)
		h.queue = h.queue[k:]
		h.finished = h.fin && len(h.queue) == 0
	}
	h.unacked = !acked
	n.broadcast()
	return acked
}

func (c *conn) Read(b []byte) (int, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case c.closed || !n.open():
			return 0, net.ErrClosed
		case past(c.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(c.in.arrived) > 0:
			k := copy(b, c.in.arrived)
			c.in.arrived = c.in.arrived[k:]
			n.broadcast()
			return k, nil
		case c.in.reset || c.out.reset:
			return 0, syscall.ECONNRESET
		case c.in.finished:
			return 0, io.EOF
		}
		n.wait(c.readBy)
	}
}

func (c *conn) Write(b []byte) (written int, err error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case c.closed || !n.open():
			return written, net.ErrClosed
		case past(c.writeBy):
			return written, os.ErrDeadlineExceeded
		case c.in.reset || c.out.reset:
			return written, syscall.ECONNRESET
		case len(b) == 0:
			return written, nil
		}
		if k := min(len(b), buffer-len(c.out.queue)); k > 0 {
			c.out.queue = append(c.out.queue, b[:k]...)
			b, written = b[k:], written+k
			n.broadcast()
			continue
		}
		n.wait(c.writeBy)
	}
}

// Close closes the connection. Bytes that were written are still sent, and then the other side
// reads io.EOF.
func (c *conn) Close() error {
	c.host.net.change(func() {
		c.closed, c.out.fin, c.in.closed = true, true, true
		delete(c.host.conns, c)
	})
	return nil
}

func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.host.net.change(func() { c.readBy, c.writeBy = t, t })
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.host.net.change(func() { c.readBy = t })
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.host.net.change(func() { c.writeBy = t })
	return nil
}
