package grpcserver

import "encoding/binary"

// Observer is told what the client of one connection does, so that it can be kept within bounds. Its
// methods return soon, and call nothing of the server.
type Observer interface {
	// Streams is told how many there are when that has changed. The end of a stream is told before the
	// client can know of it.
	Streams(now Streams)
	// Took is called when all was taken that has come so far. data: that had bytes of messages;
	// whole: it had the end of something for a handler.
	Took(data, whole bool)
}

// Streams are those of one connection.
type Streams struct {
	Open       int   // whose end was not sent
	More       int   // of these, those on which the client may send more
	Empty      int   // of these, those that have brought nothing for a handler so far
	Unfinished int64 // bytes that have come, and that no handler can take: of a part of a message, or of a unary call without its end
}

// observed is what an Observer has not been told.
type observed struct {
	streams     Streams // guarded by conn.mu
	changed     bool    // they have; guarded by conn.mu
	data, whole bool    // see Observer.Took; of the reader
}

// tellStreams tells the Observer of streams. Caller holds mu.
func (c *conn) tellStreams() {
	if c.observed.changed && c.observer != nil {
		c.observer.Streams(c.observed.streams)
	}
	c.observed.changed = false
}

// tellTaken tells the Observer what has come. The reader calls it before it waits for more.
func (c *conn) tellTaken() {
	c.mu.Lock()
	c.tellStreams()
	c.mu.Unlock()
	if c.observer != nil {
		c.observer.Took(c.observed.data, c.observed.whole)
	}
	c.observed.data, c.observed.whole = false, false
}

// arrival follows the messages that a stream brings. The counts are guarded by conn.mu, the rest is of
// the reader.
type arrival struct {
	prefix [prefixSize]byte
	have   int  // bytes of the message that is coming
	size   int  // all that it will have, once the prefix has come
	some   bool // there was something for a handler
	held   int  // bytes that no handler can take

	more, empty bool  // it counts in Streams.More, and Empty
	unfinished  int64 // what it counts for in Streams.Unfinished
}

// add follows data that has come, and tells whether a message became whole.
func (a *arrival) add(data []byte) (whole bool) {
	for len(data) > 0 {
		if a.have < prefixSize {
			n := copy(a.prefix[a.have:], data)
			a.have += n
			data = data[n:]
			if a.have < prefixSize {
				return whole
			}
			a.size = prefixSize + int(binary.BigEndian.Uint32(a.prefix[1:]))
		}
		n := min(len(data), a.size-a.have)
		a.have += n
		data = data[n:]
		if a.have == a.size {
			a.have, whole = 0, true
		}
	}
	return whole
}

// follow counts what a stream has brought. ended: it brings no more.
func (c *conn) follow(st *stream, payload []byte, ended bool) {
	a := &st.arrival
	before, whole := a.held, ended
	if st.isUnary() { // it is called when its end has come
		a.held += len(payload)
	} else {
		whole = a.add(payload)
		a.held = a.have
	}
	c.observed.data = c.observed.data || len(payload) > 0
	c.observed.whole = c.observed.whole || whole
	if ended {
		a.held = 0
	}
	first := whole && !a.some
	if a.some = a.some || whole; !first && !ended && a.held == before {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !st.out.gone {
		c.recount(st, a.more && !ended, a.empty && !first && !ended, int64(a.held))
	}
}

// began counts a stream that has begun. Caller holds mu.
func (c *conn) began(st *stream, ended bool) {
	c.observed.streams.Open++
	c.observed.changed = true
	c.recount(st, !ended, !ended, 0)
}

// ended counts a stream no more. Caller holds mu.
func (c *conn) ended(st *stream) {
	c.observed.streams.Open--
	c.observed.changed = true
	c.recount(st, false, false, 0)
}

// recount changes what a stream counts for. Caller holds mu.
func (c *conn) recount(st *stream, more, empty bool, unfinished int64) {
	a, now := &st.arrival, &c.observed.streams
	before := *now
	now.More += toInt(more) - toInt(a.more)
	now.Empty += toInt(empty) - toInt(a.empty)
	now.Unfinished += unfinished - a.unfinished
	a.more, a.empty, a.unfinished = more, empty, unfinished
	c.observed.changed = c.observed.changed || *now != before
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
