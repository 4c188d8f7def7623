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

// write sends what is queued over l until that ends, and returns why.
func (p *peer) write(l *line) error {
	defer l.close()
	ended := make(chan error, 1)
	// The peer only says that it lives, so that the end of reading is the first sign that
	// it is gone.
	p.t.work.Go(func() {
		kind, _, err := l.read()
		if err == nil {
			err = fmt.Errorf("%w: frame of kind %d out of turn", ErrCorrupt, kind)
		}
		l.hangUp()
		ended <- err
	})
	w := writer{peer: p, line: l}
	for {
		select {
		case <-p.queue.ready.C():
			if err := w.drain(); err != nil {
				l.hangUp()
				return cause(err, <-ended)
			}
		case err := <-ended:
			return cause(err)
		}
	}
}

var errClosedHere = errors.New("closed by this node")

// cause picks of several errors of one connection the one that came from outside:
// whoever of two goroutines fails second only sees the connection closed.
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
	line  *line
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
	if err := w.line.write(w.buf); err != nil {
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

// receiveMessages delivers what the peer sends over l until that ends.
func (p *peer) receiveMessages(l *line, remote identity) {
	p.mu.Lock()
	if len(p.rivals(l.boot)) > 0 { // another process of the peer has connected meanwhile
		p.mu.Unlock()
		l.hangUp()
		return
	}
	old := p.in
	p.in, p.remote, p.alive = l, remote, true
	out := p.out
	p.mu.Unlock()
	if old != nil { // its dialer has given it up, or it would not have dialed again
		old.hangUp()
	}
	p.inbound.Reset()
	p.heard()
	switch {
	case out == nil:
		p.dialNow() // who can dial can be dialed, probably
	case out.quiet():
		out.hangUp() // to an address or a process that is no more, probably
	}

	err := p.deliver(l)

	p.mu.Lock()
	current := p.in == l
	if current {
		p.in = nil
	}
	p.mu.Unlock()
	if current && p.ctx.Err() == nil {
		if !errors.Is(err, io.EOF) {
			warn(p.inbound, "connection from peer lost", err)
		}
		p.lost(err)
	}
}

// deliver reads messages and hands them to the receiver.
func (p *peer) deliver(l *line) error {
	for {
		kind, payload, err := l.read()
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
		p.bytesIn.Add(uint64(frameHeaderSize + len(payload)))
		if r := p.t.receiver.Load(); r != nil {
			(*r).Receive(m)
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
