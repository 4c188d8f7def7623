package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"balsa.example/raft"
)

// flushBytes is how many bytes are gathered before they are written, if that many
// wait.
const flushBytes = 256 << 10

// write sends the queued messages over c until c ends, and returns why.
func (p *peer) write(c *connection) error {
	defer c.close()
	ended := make(chan error, 1)
	// The peer sends only keepalive frames on this connection, so the end of reading is the
	// first sign that the peer is gone.
	p.t.work.Go(func() {
		kind, _, err := c.read()
		if err == nil {
			err = fmt.Errorf("%w: frame of kind %d out of turn", ErrCorrupt, kind)
		}
		c.hangUp()
		ended <- err
	})
	w := writer{peer: p, conn: c}
	for {
		select {
		case <-p.queue.ready.C():
			if err := w.drain(); err != nil {
				c.hangUp()
				return cause(err, <-ended)
			}
		case err := <-ended:
			return cause(err)
		}
	}
}

var errClosedHere = errors.New("closed by this node")

// cause picks of the errors that the goroutines of one connection met the one that came from
// outside. A goroutine that fails second only sees that the connection was closed.
func cause(errs ...error) error {
	for _, err := range errs {
		if !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			return err
		}
	}
	return errClosedHere
}

// writer turns messages into frames and many frames into one write.
type writer struct {
	peer  *peer
	conn  *connection
	batch []raft.Message
	buf   []byte
	// count and size are of the messages in buf, as the queue counts.
	count, size int
}

// drain writes all that is queued.
func (w *writer) drain() error {
	for {
		w.batch = w.peer.queue.take(w.batch)
		if len(w.batch) == 0 {
			return nil
		}
		for i, m := range w.batch {
			w.batch[i] = nil // the array is used again and must not keep it
			w.add(m)
			if len(w.buf) >= flushBytes {
				if err := w.flush(); err != nil {
					return err
				}
			}
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
}

func (w *writer) add(m raft.Message) {
	w.count++
	size := raft.MessageSize(m)
	w.size += size
	start := len(w.buf)
	w.buf = appendMessageFrame(slices.Grow(w.buf, size), m)
	if payload := len(w.buf) - start - frameHeaderSize; payload > w.peer.t.cfg.Limits.MaxFrame {
		w.buf = w.buf[:start]
		w.peer.dropped.Add(1)
		warn(w.peer.outbound, "message dropped", fmt.Errorf("%s of %d bytes is too long, see Limits.MaxFrame", m.Kind(), payload))
	}
}

func (w *writer) flush() error {
	if w.count == 0 {
		return nil
	}
	if err := w.conn.write(w.buf); err != nil {
		return fmt.Errorf("write messages: %w", err)
	}
	w.peer.bytesOut.Add(uint64(len(w.buf)))
	w.peer.queue.done(w.count, w.size)
	w.count, w.size = 0, 0
	if cap(w.buf) > 4*flushBytes && len(w.buf) < cap(w.buf)/4 { // a huge message pins its size only while there are more
		w.buf = nil
	}
	w.buf = w.buf[:0]
	return nil
}

// receiveMessages delivers what the peer sends over c until c ends.
func (p *peer) receiveMessages(c *connection, remote identity) {
	p.mu.Lock()
	if len(p.otherProcesses(c.process)) > 0 { // another process of the peer has connected meanwhile
		p.mu.Unlock()
		c.hangUp()
		return
	}
	old := p.in
	p.in, p.remote, p.up = c, remote, true
	out := p.out
	p.mu.Unlock()
	if old != nil { // the peer has given it up, or it would not have dialed again
		old.hangUp()
	}
	p.inbound.Reset()
	p.noteActivity()
	switch {
	case out == nil:
		p.dialNow() // the network works, at least in the other direction
	case out.isIdle():
		out.hangUp() // it leads to an address or a process that is gone, probably
	}

	err := p.deliver(c)

	p.mu.Lock()
	current := p.in == c
	if current {
		p.in = nil
	}
	p.mu.Unlock()
	if current && p.ctx.Err() == nil {
		if !errors.Is(err, io.EOF) {
			warn(p.inbound, "connection from peer lost", err)
		}
		p.reportDown(err)
	}
}

// deliver reads messages and hands them to the receiver, until this side hangs up or the other one does.
func (p *peer) deliver(c *connection) error {
	for {
		kind, payload, err := c.read()
		if err != nil {
			return err
		}
		m, err := raft.DecodeMessage(raft.MessageKind(kind), payload)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if err := p.checkHead(m); err != nil {
			return err
		}
		if c.ctx.Err() != nil { // what had arrived before would come behind messages of a later connection, or of none
			return errClosedHere
		}
		p.bytesIn.Add(uint64(frameHeaderSize + len(payload)))
		if r := p.t.receiver.Load(); r != nil {
			r.Receive(m)
		}
	}
}

// checkHead makes sure that a message is from the node at the other end, and for this one.
func (p *peer) checkHead(m raft.Message) error {
	if h := m.Head(); h.From != p.id || h.To != p.t.self.id {
		return fmt.Errorf("%w: message from %s to %s on a connection from %s to %s", ErrCorrupt, h.From, h.To, p.id, p.t.self.id)
	}
	return nil
}
