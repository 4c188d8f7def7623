package clients

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"
)

// trackedConn is a client's connection as gRPC reads and writes it, without TLS. gRPC tells
// of a message only when all of it has come, and keeps up to 4 MiB of each stream until then.
// So trackedConn follows the frames of HTTP/2, and the messages in them, and counts the
// bytes of unfinished messages.
type trackedConn struct {
	net.Conn
	client *Client

	mu      sync.Mutex
	in, out frameScanner
	streams map[uint32]*message // those whose end was not written
	counts  streamCounts        // of streams
	size    int64               // bytes of all unfinished messages
	closed  bool
}

// message is the message that arrives on a stream.
type message struct {
	prefix [prefixSize]byte
	have   int  // bytes of prefix and content that have come
	size   int  // bytes of both, once the prefix has come
	some   bool // a whole one has come
	last   bool // no message follows: the client has ended its side of the stream
}

// prefixSize is the length in bytes of what gRPC puts before a message: a flag and its size.
const prefixSize = 5

// errTooManyOpen ends a connection with more streams than HTTP/2 allows it, which gRPC itself
// tolerates.
var errTooManyOpen = errors.New("too many streams at once")

func newTrackedConn(conn net.Conn, c *Client) *trackedConn {
	t := &trackedConn{
		Conn: conn, client: c, streams: make(map[uint32]*message),
		in: frameScanner{skip: len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	}
	c.tracked.Store(t)
	return t
}

// Read implements net.Conn.
func (t *trackedConn) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if n == 0 {
		return n, err
	}
	t.client.port.received.Add(uint64(n))
	t.mu.Lock()
	data, whole, began := t.track(b[:n])
	if data && t.size > 0 {
		t.client.progress.Store(time.Now().UnixNano())
	}
	tooMany := len(t.streams) > 2*t.client.port.limits.Streams
	t.mu.Unlock()
	if tooMany {
		return 0, errTooManyOpen
	}
	if whole && t.client.slot != nil {
		t.client.slot.Used()
	}
	if data || began {
		t.client.port.limitUnfinished()
	}
	return n, err
}

// Write implements net.Conn. It notes the end of a stream before it writes it, since the
// client may begin another stream as soon as it reads that end.
func (t *trackedConn) Write(b []byte) (int, error) {
	t.out.scan(b, func(f frame, _ []byte) {
		if f.left == 0 && (f.kind == frameReset || f.ends()) {
			t.mu.Lock()
			t.forget(f.stream)
			t.mu.Unlock()
		}
	})
	n, err := t.Conn.Write(b)
	t.client.port.sent.Add(uint64(n))
	return n, err
}

// Close implements net.Conn.
func (t *trackedConn) Close() error {
	t.uncount()
	return t.Conn.Close()
}

// uncount lets nothing of this connection count any more.
func (t *trackedConn) uncount() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grow(-t.size)
	t.closed = true
	t.client.open.set(streamCounts{})
}

// track counts what was read. It tells whether there was a part of a message, whether a message
// became whole, and whether a stream began. Caller holds mu.
func (t *trackedConn) track(b []byte) (data, whole, began bool) {
	size := int64(0)
	t.in.scan(b, func(f frame, payload []byte) {
		m := t.streams[f.stream]
		switch {
		case f.kind == frameHeaders && m == nil && f.left == 0:
			t.streams[f.stream] = new(message)
			began = true
			t.counts.open++
			t.counts.more++
			t.counts.empty++
			t.count()
		case f.kind == frameData && m != nil && !m.last:
			before := m.have
			if m.add(payload) {
				whole = true
				t.filled(m)
			}
			data = data || len(payload) > 0
			size += int64(m.have - before)
		}
		switch {
		case f.left > 0:
		case f.kind == frameReset:
			t.forget(f.stream)
		case f.ends():
			t.finish(f.stream)
		}
	})
	t.grow(size)
	return data, whole, began
}

// filled notes that a stream has brought a message, or will bring none. Caller holds mu.
func (t *trackedConn) filled(m *message) {
	if !m.some {
		m.some = true
		t.counts.empty--
		t.count()
	}
}

// finish notes that the client has ended its side of a stream. Caller holds mu.
func (t *trackedConn) finish(stream uint32) {
	if m := t.streams[stream]; m != nil && !m.last {
		t.grow(-int64(m.have))
		m.have, m.last = 0, true
		t.counts.more--
		t.filled(m)
		t.count()
	}
}

// forget removes a stream that has ended. Caller holds mu.
func (t *trackedConn) forget(stream uint32) {
	if t.streams[stream] != nil {
		t.finish(stream)
		delete(t.streams, stream)
		t.counts.open--
		t.count()
	}
}

// count tells the client how many streams there are. Caller holds mu.
func (t *trackedConn) count() {
	if !t.closed {
		t.client.open.set(t.counts)
	}
}

// grow counts bytes of unfinished messages. Caller holds mu.
func (t *trackedConn) grow(bytes int64) {
	if bytes != 0 && !t.closed {
		t.size += bytes
		t.client.addUnfinished(bytes)
	}
}

// add counts data that has come on the stream, and tells whether a message became whole.
func (m *message) add(data []byte) (whole bool) {
	for len(data) > 0 {
		if m.have < prefixSize {
			n := copy(m.prefix[m.have:], data)
			m.have += n
			data = data[n:]
			if m.have < prefixSize {
				return whole
			}
			m.size = prefixSize + int(binary.BigEndian.Uint32(m.prefix[1:]))
		}
		n := min(len(data), m.size-m.have)
		m.have += n
		data = data[n:]
		if m.have == m.size {
			m.have, whole = 0, true
		}
	}
	return whole
}
