package transport

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// keepaliveInterval is how often each side of a connection writes something. It is the same
// for all nodes, so that no node depends on the settings of another.
const keepaliveInterval = 100 * time.Millisecond

// idleIntervals is how many intervals without a byte make a connection suspect (see idle).
const idleIntervals = 2

// keepaliveTimeoutMin is the least Limits.KeepaliveTimeout: TCP may take so long to replace
// one lost packet.
const keepaliveTimeoutMin = 5 * keepaliveInterval

// connection is a connection after its handshake. TCP notices an outage late, and its end
// later still, since it repeats what was lost ever more rarely. So both sides watch:
//
//   - Each writes in every interval: a keepalive frame, if it has nothing else to write.
//   - Each hangs up when no byte has arrived for the timeout: the shorter KeepaliveTimeout of
//     the two, which the keepalive frames tell.
//
// A connection that fails in either direction ends within the timeout. A slow one stays,
// however long its frames take, because any byte counts. Time is counted in intervals of
// this process: if the process was stopped for a while, it reads what has arrived meanwhile
// before it hangs up.
type connection struct {
	peer    *peer
	process processID // at the other end
	conn    net.Conn  // what frames are written to: the TLS connection, if TLS is used
	monitor *monitor
	frames  *frameReader
	ctx     context.Context // ends when this side hangs up
	cancel  context.CancelFunc
	done    chan struct{} // closed when keepAlive has returned

	writing          chan struct{} // holds a token while a goroutine writes
	wrote            atomic.Bool   // since the last interval began
	timeoutIntervals atomic.Int64  // the timeout, in intervals
	timedOut         atomic.Bool   // this side hung up because nothing arrived
}

// monitor is a TCP connection, below TLS, and notes when bytes arrive.
type monitor struct {
	net.Conn
	reading  atomic.Bool  // Read waits for bytes
	idle     atomic.Int64 // intervals since it has begun to wait
	arrivals atomic.Int64 // how often bytes have arrived
}

// Read implements net.Conn.
func (m *monitor) Read(b []byte) (int, error) {
	m.idle.Store(0)
	m.reading.Store(true)
	n, err := m.Conn.Read(b)
	m.reading.Store(false)
	if n > 0 {
		m.arrivals.Add(1)
	}
	return n, err
}

// CloseWrite makes a monitor a writeCloser where its connection is one.
func (m *monitor) CloseWrite() error {
	if c, ok := m.Conn.(writeCloser); ok {
		return c.CloseWrite()
	}
	return nil
}

// keepalive is the payload of a keepalive frame.
type keepalive struct {
	timeout uint64 // Limits.KeepaliveTimeout of the writer, in milliseconds
	// duplicate, if not empty, is the host of another process that speaks for the reader.
	duplicate []byte
}

func (c *coder) keepalive(v *keepalive) {
	number(c, &v.timeout)
	c.bytes(&v.duplicate)
}

// ownKeepalive is what this side says in a keepalive frame.
func (c *connection) ownKeepalive(duplicate string) *keepalive {
	return &keepalive{uint64(c.peer.t.cfg.Limits.KeepaliveTimeout / time.Millisecond), []byte(duplicate)}
}

// newConnection makes a connection of conn, until it is closed or ctx ends.
func newConnection(ctx context.Context, p *peer, conn net.Conn, m *monitor, f *frameReader, process processID) *connection {
	c := &connection{
		peer: p, process: process, conn: conn, monitor: m, frames: f,
		done: make(chan struct{}), writing: make(chan struct{}, 1),
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.setTimeout(p.t.cfg.Limits.KeepaliveTimeout)
	context.AfterFunc(c.ctx, func() { hangUp(conn) })
	go c.keepAlive()
	return c
}

// hangUp ends the connection: reads and writes fail from now on.
func (c *connection) hangUp() {
	c.cancel()
	hangUp(c.conn)
}

// isIdle tells whether nothing has arrived for longer than a connection that works lets pass.
func (c *connection) isIdle() bool { return c.monitor.idle.Load() > idleIntervals }

// close hangs up and returns when no goroutine of the connection is left.
func (c *connection) close() {
	c.hangUp()
	<-c.done
	c.writing <- struct{}{}
	<-c.writing
}

func (c *connection) setTimeout(d time.Duration) {
	c.timeoutIntervals.Store(int64((d + keepaliveInterval - 1) / keepaliveInterval))
}

// keepAlive writes in every interval, and hangs up when nothing has arrived for the timeout.
func (c *connection) keepAlive() {
	defer close(c.done)
	tick := time.NewTicker(keepaliveInterval)
	defer tick.Stop()
	frame := appendLayout(nil, frameKeepalive, func(to *coder) { to.keepalive(c.ownKeepalive("")) })
	for {
		if !c.wrote.Swap(false) {
			c.writeKeepalive(frame)
		}
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return
		}
		switch {
		case !c.monitor.reading.Load():
		case c.monitor.idle.Add(1) > c.timeoutIntervals.Load():
			c.timedOut.Store(true)
			c.hangUp()
		case c.monitor.idle.Load() == 1:
			c.peer.noteActivity()
		}
	}
}

// write writes frames. It waits while the other side lives and does not read.
func (c *connection) write(b []byte) error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	c.wrote.Store(true)
	_, err := c.conn.Write(b)
	return c.reason(err)
}

// writeKeepalive writes a keepalive frame unless another goroutine is writing. keepAlive does
// not wait for it: over a slow connection even that takes a while.
func (c *connection) writeKeepalive(frame []byte) {
	select {
	case c.writing <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-c.writing }()
		// An error is left to the goroutine that reads, which finds out what the other side
		// did. To hang up here would hide that from it.
		c.conn.Write(frame)
	}()
}

// read returns the next frame other than a keepalive.
func (c *connection) read() (kind byte, payload []byte, err error) {
	for {
		kind, payload, err = c.frames.read()
		if err != nil {
			return 0, nil, c.reason(err)
		}
		if kind != frameKeepalive {
			return kind, payload, nil
		}
		if err := c.takeKeepalive(payload); err != nil {
			return 0, nil, err
		}
	}
}

func (c *connection) takeKeepalive(payload []byte) error {
	var v keepalive
	from := coder{buf: payload}
	from.keepalive(&v)
	if err := from.end(); err != nil {
		return fmt.Errorf("%w: keepalive frame: %w", ErrCorrupt, err)
	}
	if len(v.duplicate) > 0 {
		c.peer.t.duplicateSeen(c.peer, string(v.duplicate))
	}
	shorter := min(v.timeout, uint64(c.peer.t.cfg.Limits.KeepaliveTimeout.Milliseconds()))
	c.setTimeout(max(keepaliveTimeoutMin, time.Duration(shorter)*time.Millisecond))
	return nil
}

// reason replaces an error that only follows from the timeout by that.
func (c *connection) reason(err error) error {
	if err != nil && c.timedOut.Load() {
		return fmt.Errorf("nothing arrived for %v: %w", time.Duration(c.timeoutIntervals.Load())*keepaliveInterval, os.ErrDeadlineExceeded)
	}
	return err
}
