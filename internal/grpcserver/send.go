package grpcserver

import "runtime"

const (
	// writeBytes is about how much is written at once.
	writeBytes = 64 << 10
	// keptWrite is the largest buffer that a connection keeps.
	keptWrite = writeBytes + 2*maxFrame
)

// write writes what is ready until the connection ends.
func (c *conn) write() {
	var b []byte
	for {
		var more bool
		if b, more = c.nextWrite(b[:0]); len(b) > 0 {
			if _, err := c.Write(b); err != nil {
				more = false
			}
		}
		if !more {
			c.Close() // the reader sees that, and ends the rest
			return
		}
		if cap(b) > keptWrite {
			b = nil
		}
	}
}

// nextWrite waits until there is something to write. more is false at the end.
func (c *conn) nextWrite(b []byte) (_ []byte, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if b = c.fill(b); len(b) > 0 || c.closing {
			return b, !c.closing
		}
		c.asleep = true
		c.mu.Unlock()
		<-c.wake
		runtime.Gosched() // others that are ready now answer too, and their answers share the write
		c.mu.Lock()
	}
}

// fill appends what is ready: control frames, and one frame of data of each stream in turn. Caller
// holds mu.
func (c *conn) fill(b []byte) []byte {
	if c.closed {
		return b
	}
	b = append(b, c.control...)
	c.control = c.control[:0]
	before := len(b)
	if c.window > 0 && len(c.starved) > 0 {
		c.ready = append(c.ready, c.starved...)
		c.starved = nil
	}
	i := 0
	for ; i < len(c.ready) && len(b) < writeBytes; i++ {
		st := c.ready[i]
		c.ready[i] = nil
		if !st.out.waits() {
			st.out.ready = false
			continue
		}
		if c.window <= 0 && st.out.begun && st.out.size > 0 {
			c.starved = c.queue(c.starved, st)
			continue
		}
		b = c.frame(b, st)
		if st.out.ready = st.out.waits(); st.out.ready {
			c.ready = append(c.ready, st)
		}
	}
	left := copy(c.ready, c.ready[i:])
	clear(c.ready[left:])
	c.ready = c.ready[:left]
	c.tellStreams()
	if len(b) > before {
		c.answered.Store(true)
	}
	return b
}
