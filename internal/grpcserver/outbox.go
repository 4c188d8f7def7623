package grpcserver

import (
	"golang.org/x/net/http2"
	"google.golang.org/grpc/mem"

	"balsa.example/internal/wake"
)

// sendQuota is how many bytes a stream may have that the writer has not taken, in front of a further
// message.
const sendQuota = 64 << 10

// outbox has what a handler has answered, and the writer has not taken. conn.mu guards it.
type outbox struct {
	window int64 // what the client takes of the stream, in bytes of DATA; may be negative
	begun  bool  // headers were written
	flush  bool  // they are to be written, even if nothing follows now
	gone   bool  // the stream is over: nothing is written any more

	headers  []byte // fields of the headers besides those of all responses
	messages []outgoing
	first    [1]outgoing // the memory of messages, as long as there is one
	size     int         // bytes of messages, with their prefixes
	room     wake.Signal // for a handler that waits to send; of a unary call it is zero, and wakes nobody

	ending   bool // trailers follow the messages
	trailers trailers
}

// outgoing is a message.
type outgoing struct {
	prefix [prefixSize]byte
	data   mem.BufferSlice
	done   int // bytes of prefix that were taken
	buffer int // of data
	offset int // in it
}

// add adds a message.
func (o *outbox) add(data mem.BufferSlice) {
	if len(o.messages) == 0 {
		o.messages = o.first[:0]
	}
	size := data.Len()
	o.messages = append(o.messages, outgoing{prefix: [prefixSize]byte{0, byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}, data: data})
	o.size += prefixSize + size
}

// take appends the next n bytes of messages, of which there are as many.
func (o *outbox) take(b []byte, n int) []byte {
	o.size -= n
	i := 0
	for ; n > 0; i++ {
		m := &o.messages[i]
		var taken int
		b, taken = m.take(b, n)
		if n -= taken; !m.empty() {
			break
		}
		m.data.Free()
	}
	clear(o.messages[:i])
	o.messages = o.messages[i:]
	if o.size < sendQuota {
		o.room.Set()
	}
	return b
}

// empty tells whether all of a message was taken.
func (m *outgoing) empty() bool { return m.done == prefixSize && m.buffer == len(m.data) }

// take appends at most n bytes of a message, and tells how many they are.
func (m *outgoing) take(b []byte, n int) ([]byte, int) {
	before := len(b)
	part := m.prefix[m.done:min(prefixSize, m.done+n)]
	b = append(b, part...)
	m.done += len(part)
	for left := n - len(part); m.buffer < len(m.data); {
		data := m.data[m.buffer].ReadOnlyData()[m.offset:]
		if len(data) > left {
			b = append(b, data[:left]...)
			m.offset += left
			break
		}
		b = append(b, data...)
		left -= len(data)
		m.buffer, m.offset = m.buffer+1, 0
	}
	return b, len(b) - before
}

// drop frees what was not written.
func (o *outbox) drop() {
	for _, m := range o.messages {
		m.data.Free()
	}
	o.messages, o.size, o.gone = nil, 0, true
}

// waits tells whether there is something to write that needs no more of the stream's window.
func (o *outbox) waits() bool {
	switch {
	case o.gone:
		return false
	case o.flush && !o.begun:
		return true
	case o.size > 0:
		return o.window > 0
	}
	return o.ending
}

// frame appends the frames of a stream that may be written now: at most one of data, of so many bytes at most. conn.mu
// is held.
func (c *conn) frame(b []byte, st *stream, most int) []byte {
	o := &st.out
	if !o.begun && !o.flush && len(o.headers) == 0 && o.size == 0 && o.ending { // trailers alone
		b = c.response.appendHeaders(b, st.id, nil, &o.trailers)
		return c.end(b, st)
	}
	if !o.begun {
		b = c.response.appendHeaders(b, st.id, o.headers, nil)
		o.begun = true
	}
	if n := int(min(int64(o.size), o.window, c.sendWindow, maxFrame, int64(most))); n > 0 {
		o.window -= int64(n)
		c.sendWindow -= int64(n)
		b = appendFrame(b, http2.FrameData, 0, st.id, n)
		b = o.take(b, n)
	}
	if o.size == 0 && o.ending {
		b = c.response.appendTrailers(b, st.id, &o.trailers)
		return c.end(b, st)
	}
	return b
}

// end ends a stream whose last frame for the client is in b. Its client need not send the rest.
func (c *conn) end(b []byte, st *stream) []byte {
	if !st.in.over() {
		b = appendReset(b, st.id, http2.ErrCodeNo)
	}
	c.remove(st)
	return b
}
