package transport

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// beat is how often each side of a connection writes something. It is the same for all
// nodes, so that nobody depends on another's settings.
const beat = 100 * time.Millisecond

// quietBeats is how many beats without a sign of life are remarkable.
const quietBeats = 2

// silenceMin is the least that Limits.Silence may be: what one lost packet may take.
const silenceMin = 5 * beat

// line is a connection past its handshake. TCP notices an outage late, and its end later
// still, since it repeats what was lost ever more rarely. So both sides watch:
//
//   - Each writes at every beat: an alive frame, if it has nothing else to write.
//   - Each hangs up when it has waited for bytes, of whatever frame, for longer than its
//     patience: the shorter Limits.Silence of both sides, which the alive frames tell.
//
// A connection on which either direction has failed ends within the patience. A slow one
// stays, however long its frames take. Time is counted in beats of this process: if that
// was stopped for a while, it finds what has arrived meanwhile before it hangs up.
type line struct {
	peer   *peer
	boot   [16]byte // of the process at the other end
	conn   net.Conn // what frames are written to; with TLS, if that is used
	ear    *ear
	frames *frameReader
	ctx    context.Context // ends when this side hangs up
	cancel context.CancelFunc
	kept   chan struct{} // closed when keepUp has ended

	turn     chan struct{} // holds a token while somebody writes
	wrote    atomic.Bool   // since the last beat
	patience atomic.Int64  // in beats
	silent   atomic.Bool   // hung up because nothing arrived
}

// ear is a connection below TLS. It takes note of what arrives.
type ear struct {
	net.Conn
	waiting atomic.Bool  // in Read
	quiet   atomic.Int64 // beats since waiting has begun
	heard   atomic.Int64 // how often something has arrived
}

func (e *ear) Read(b []byte) (int, error) {
	e.quiet.Store(0)
	e.waiting.Store(true)
	n, err := e.Conn.Read(b)
	e.waiting.Store(false)
	if n > 0 {
		e.heard.Add(1)
	}
	return n, err
}

// CloseWrite makes an ear a writeCloser where the connection is one.
func (e *ear) CloseWrite() error {
	if c, ok := e.Conn.(writeCloser); ok {
		return c.CloseWrite()
	}
	return nil
}

// lifeSign is the payload of an alive frame.
type lifeSign struct {
	silence uint64 // Limits.Silence of who writes it, in milliseconds
	twin    []byte // the host of another process that speaks for the reader, if not empty
}

func (c *coder) lifeSign(v *lifeSign) {
	number(c, &v.silence)
	c.bytes(&v.twin)
}

// newLine makes a line of a connection, until it is closed or ctx ends.
func newLine(ctx context.Context, p *peer, conn net.Conn, e *ear, f *frameReader, boot [16]byte) *line {
	l := &line{peer: p, boot: boot, conn: conn, ear: e, frames: f, kept: make(chan struct{}), turn: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.expect(p.t.cfg.Limits.Silence)
	context.AfterFunc(l.ctx, func() { hangUp(conn) })
	go l.keepUp()
	return l
}

// hangUp ends the connection: reads and writes fail from now on.
func (l *line) hangUp() {
	l.cancel()
	hangUp(l.conn)
}

// quiet tells whether nothing has arrived for so long that it is remarkable.
func (l *line) quiet() bool { return l.ear.quiet.Load() > quietBeats }

// close hangs up and returns when no goroutine is left of the line.
func (l *line) close() {
	l.hangUp()
	<-l.kept
	l.turn <- struct{}{}
	<-l.turn
}

// expect sets the patience.
func (l *line) expect(silence time.Duration) { l.patience.Store(int64((silence + beat - 1) / beat)) }

// keepUp writes at every beat, and hangs up when nothing arrives any more.
func (l *line) keepUp() {
	defer close(l.kept)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	sign := appendLayout(nil, frameAlive, func(c *coder) {
		c.lifeSign(l.lifeSign(""))
	})
	for {
		if !l.wrote.Swap(false) {
			l.sayAlive(sign)
		}
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		switch {
		case !l.ear.waiting.Load():
		case l.ear.quiet.Add(1) > l.patience.Load():
			l.silent.Store(true)
			l.hangUp()
		case l.ear.quiet.Load() == 1:
			l.peer.heard()
		}
	}
}

// write writes frames. It takes as long as the other side lives and does not read.
func (l *line) write(b []byte) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.wrote.Store(true)
	_, err := l.conn.Write(b)
	return l.reason(err)
}

// sayAlive writes an alive frame unless something is being written. keepUp does not wait
// for it: over a slow line even that takes a while.
func (l *line) sayAlive(sign []byte) {
	select {
	case l.turn <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-l.turn }()
		// Where this fails whoever reads finds out why, or the other side hears nothing more
		// and hangs up. To hang up here would hide from the reader what the other side did.
		l.conn.Write(sign)
	}()
}

// read returns the next frame that is more than a sign of life.
func (l *line) read() (kind byte, payload []byte, err error) {
	for {
		kind, payload, err = l.frames.read()
		if err != nil {
			return 0, nil, l.reason(err)
		}
		if kind != frameAlive {
			return kind, payload, nil
		}
		var sign lifeSign
		c := coder{buf: payload}
		c.lifeSign(&sign)
		if err := c.end(); err != nil {
			return 0, nil, fmt.Errorf("%w: alive frame: %w", ErrCorrupt, err)
		}
		if len(sign.twin) > 0 {
			l.peer.t.twinSeen(l.peer, string(sign.twin))
		}
		own := l.peer.t.cfg.Limits.Silence
		told := min(sign.silence, uint64(own.Milliseconds()))
		l.expect(max(silenceMin, time.Duration(told)*time.Millisecond))
	}
}

// reason says why the line was hung up where err is only a consequence of that.
func (l *line) reason(err error) error {
	if err != nil && l.silent.Load() {
		return fmt.Errorf("nothing was heard for %v: %w", time.Duration(l.patience.Load())*beat, os.ErrDeadlineExceeded)
	}
	return err
}
