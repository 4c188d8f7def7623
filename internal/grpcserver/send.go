package grpcserver

import (
	"errors"
	"net"
	"runtime"
	"sync"
)

// segment is how much data a segment of TCP over loopback has: a packet of 64 KiB without the headers of IPv6 and TCP.
const segment = 64<<10 - 40 - 20 - 12

// writeBytes is how much data is written at once, at most: whole segments. A few bytes more would be a segment of their
// own, which costs as much.
const writeBytes = 2 * segment

// minWrite is how much room for a frame there has to be left of that.
const minWrite = 1 << 10

// writeBuffers has the memory of what is being written. Connections that have nothing to write have none.
var writeBuffers = sync.Pool{New: func() any { return new([]byte) }}

// keptWrite is the largest buffer that is used again.
const keptWrite = writeBytes + 64<<10

// write writes what is ready until the connection ends.
func (c *conn) write() {
	for {
		err := c.writeNext()
		switch {
		case errors.Is(err, errLast):
			c.hangUp()
			return
		case err != nil:
			c.Close() // the reader sees that, and ends the rest
			return
		}
	}
}

// errLast is no failure: there is nothing more to write.
var errLast = errors.New("all is written")

// writeNext waits until there is something to write, and writes it.
func (c *conn) writeNext() error {
	var b *[]byte
	c.mu.Lock()
	for !c.killed && len(c.control) == 0 && c.ready.empty() && !c.closing && (c.sendWindow <= 0 || c.starved.empty()) {
		c.asleep = true
		c.mu.Unlock()
		<-c.wake
		runtime.Gosched() // others that are ready now answer too, and their answers share the write
		c.mu.Lock()
	}
	if c.killed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	b = writeBuffers.Get().(*[]byte)
	*b = c.fill((*b)[:0])
	last := c.closing
	c.mu.Unlock()

	var err error
	if len(*b) > 0 {
		_, err = c.Write(*b)
	}
	if cap(*b) <= keptWrite {
		writeBuffers.Put(b)
	}
	if err == nil && last {
		err = errLast
	}
	return err
}

// fill appends what is ready: control frames, and one frame of data of each stream in turn. Caller
// holds mu.
func (c *conn) fill(b []byte) []byte {
	b = append(b, c.control...)
	if c.control = c.control[:0]; cap(c.control) > keptControl {
		c.control = nil
	}
	before := len(b)
	for len(b) <= writeBytes-minWrite {
		st := c.next()
		if st == nil {
			break
		}
		switch {
		case !st.out.waits():
		case c.sendWindow <= 0 && st.out.begun && st.out.size > 0:
			c.starved.add(st)
		default:
			b = c.frame(b, st, writeBytes-len(b)-frameHeader)
			c.schedule(st)
		}
	}
	c.tellStreams()
	if len(b) > before {
		c.answered.Store(true)
	}
	return b
}

// keptControl is how much memory a connection keeps for control frames.
const keptControl = 1 << 10

// next takes the stream whose turn it is, nil if there is none. Caller holds mu.
func (c *conn) next() *stream {
	if c.sendWindow > 0 && !c.starved.empty() {
		return c.starved.take()
	}
	return c.ready.take()
}
