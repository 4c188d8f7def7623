package native

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"
)

// intake is a client's connection as gRPC reads and writes it, TLS taken off. It follows
// the frames of HTTP/2 and the messages in them, since gRPC tells nobody of a message
// before it is whole, and keeps what has come of it: up to 4 MiB on each stream.
type intake struct {
	net.Conn
	client *client

	mu      sync.Mutex
	in, out frames
	streams map[uint32]*message // those that have not ended on the wire
	size    int64               // of all unfinished messages
	closed  bool
}

// message is how much of the message that arrives on a stream has come.
type message struct {
	prefix [prefixSize]byte
	have   int  // bytes of prefix and content
	size   int  // of both, once prefix is known
	last   bool // nothing more comes: the client waits for the end of the stream
}

// prefixSize is the length of what gRPC puts before a message: a flag and its size.
const prefixSize = 5

// errIntake ends a connection that breaks the rules in a way that gRPC does not mind.
var errIntake = errors.New("too many streams at once")

func newIntake(conn net.Conn, c *client) *intake {
	i := &intake{
		Conn: conn, client: c, streams: make(map[uint32]*message),
		in: frames{skip: len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	}
	c.intake.Store(i)
	return i
}

// Read implements net.Conn.
func (i *intake) Read(b []byte) (int, error) {
	n, err := i.Conn.Read(b)
	if n == 0 {
		return n, err
	}
	i.mu.Lock()
	data, whole := i.follow(b[:n])
	if data && i.size > 0 {
		i.client.progress.Store(time.Now().UnixNano())
	}
	crowded := len(i.streams) > 2*i.client.clients.limits.Streams
	i.mu.Unlock()
	if crowded {
		return 0, errIntake
	}
	if whole && i.client.slot != nil {
		i.client.slot.Used()
	}
	if data {
		i.client.clients.shed()
	}
	return n, err
}

// Write implements net.Conn. A stream has ended before the client can know, and begin another
// in its place.
func (i *intake) Write(b []byte) (int, error) {
	i.out.scan(b, func(f frame, _ []byte) {
		if f.left == 0 && (f.kind == frameReset || f.ends()) {
			i.mu.Lock()
			i.forget(f.stream)
			i.mu.Unlock()
		}
	})
	return i.Conn.Write(b)
}

// Close implements net.Conn.
func (i *intake) Close() error {
	i.settle()
	return i.Conn.Close()
}

// settle counts nothing of this connection any more.
func (i *intake) settle() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.grow(-i.size)
	i.closed = true
	i.client.held.are(0)
}

// follow takes note of what was read. It tells whether there was a part of a message, and
// whether one became whole. Caller holds mu.
func (i *intake) follow(b []byte) (data, whole bool) {
	size := int64(0)
	i.in.scan(b, func(f frame, payload []byte) {
		m := i.streams[f.stream]
		switch {
		case f.kind == frameHeaders && m == nil && f.left == 0:
			i.streams[f.stream] = new(message)
			i.count()
		case f.kind == frameData && m != nil && !m.last:
			before := m.have
			whole = m.arrive(payload) || whole
			data = data || len(payload) > 0
			size += int64(m.have - before)
		}
		switch {
		case f.left > 0:
		case f.kind == frameReset:
			i.forget(f.stream)
		case f.ends():
			i.finish(f.stream)
		}
	})
	i.grow(size)
	return data, whole
}

// finish takes note that a stream brings no more. Caller holds mu.
func (i *intake) finish(stream uint32) {
	if m := i.streams[stream]; m != nil {
		i.grow(-int64(m.have))
		m.have, m.last = 0, true
	}
}

// forget drops a stream that has ended. Caller holds mu.
func (i *intake) forget(stream uint32) {
	i.finish(stream)
	delete(i.streams, stream)
	i.count()
}

// count tells the client how many streams there are. Caller holds mu.
func (i *intake) count() {
	if !i.closed {
		i.client.held.are(len(i.streams))
	}
}

// grow counts bytes of unfinished messages. Caller holds mu.
func (i *intake) grow(bytes int64) {
	if bytes != 0 && !i.closed {
		i.size += bytes
		i.client.grow(bytes)
	}
}

// arrive counts what has come on the stream, and tells whether a message became whole.
func (m *message) arrive(data []byte) (whole bool) {
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
