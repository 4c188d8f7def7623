package clients

import (
	"net"
	"sync"
	"time"

	"balsa.example/internal/fair"
	"balsa.example/internal/grpcserver"
)

// traffic is what a client has in progress by gRPC, as the server tells it: a grpcserver.Observer. Bytes of
// unfinished messages are in memory before any handler knows of them.
type traffic struct {
	client  *Client
	writing stay // of what is written, and the client does not take

	mu     sync.Mutex
	size   int64 // bytes of unfinished messages that count
	closed bool
}

// Streams implements grpcserver.Observer.
func (t *traffic) Streams(now grpcserver.Streams) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.resize(now.Unfinished)
		t.client.open.set(now)
	}
}

// Took implements grpcserver.Observer.
func (t *traffic) Took(data, whole bool) {
	t.mu.Lock()
	unfinished := t.size > 0
	t.mu.Unlock()
	if data && unfinished {
		t.client.progress.Store(time.Now().UnixNano())
	}
	if whole && t.client.slot != nil {
		t.client.slot.Used()
	}
	t.client.port.limitUnfinished()
}

// uncount lets nothing of this connection count any more.
func (t *traffic) uncount() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		t.resize(0)
		t.client.open.set(grpcserver.Streams{})
	}
}

// resize counts bytes of unfinished messages. Caller holds mu.
func (t *traffic) resize(bytes int64) {
	if more := bytes - t.size; more != 0 {
		t.size = bytes
		t.client.addUnfinished(more)
	}
}

// countedConn is a client's connection as gRPC reads and writes it, without TLS.
type countedConn struct {
	net.Conn
	traffic *traffic
}

// Read implements net.Conn.
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.traffic.client.port.received.Add(uint64(n))
	return n, err
}

// Write implements net.Conn.
func (c *countedConn) Write(b []byte) (int, error) {
	c.traffic.writing.begin()
	n, err := c.Conn.Write(b)
	c.traffic.writing.end()
	c.traffic.client.port.sent.Add(uint64(n))
	return n, err
}

// CloseWrite closes one direction of the connection, if it can be closed alone.
func (c *countedConn) CloseWrite() error { return fair.CloseWrite(c.Conn) }

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.traffic.uncount()
	return c.Conn.Close()
}
