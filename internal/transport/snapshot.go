package transport

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"balsa/raft"
)

// A snapshot has a connection of its own, on which these frames follow the
// handshake:
//
//	sender                              receiver
//	InstallSnapshot ───────────────────►
//	chunk, chunk, ... ─────────────────►
//	                                   ◄─ alive, from time to time
//	end (length, CRC-32C of all data) ─►
//	                                   ◄─ result (empty: stored; or why not)
//
// The receiver may send its result at any time, and then takes no more. A stream
// without its end is cut short: the reader gets io.ErrUnexpectedEOF.

// snapshotChunk is how much data goes into one frame, in bytes.
const snapshotChunk = 256 << 10

// snapshotFrameMax bounds the payload of every frame of a snapshot, in bytes.
const snapshotFrameMax = 1 << 20

// aliveEvery is how often the receiver says that it is still storing. It has to be
// well below Limits.SnapshotStall of the sender.
const aliveEvery = time.Second

// snapshotEnd is the payload of the end frame.
type snapshotEnd struct {
	length uint64
	crc    uint64
}

func (c *coder) snapshotEnd(v *snapshotEnd) {
	number(c, &v.length)
	number(c, &v.crc)
}

// SendSnapshot implements rsm.Transport. It takes as long as something moves, and
// one snapshot to a peer at a time; while data blocks, it cannot end.
func (t *Transport) SendSnapshot(ctx context.Context, m *raft.InstallSnapshot, data io.Reader) error {
	p := t.peer(m.To)
	if p == nil {
		return fmt.Errorf("%w: %s", ErrUnknownPeer, m.To)
	}
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	default:
		return fmt.Errorf("%w: %s", ErrBusy, m.To)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.ctx, func() { cancel(ErrClosed) })()

	err := p.sendSnapshot(ctx, m, data)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("send snapshot %s to %s: %w", m.Meta, m.To, err)
	}
	return nil
}

func (p *peer) sendSnapshot(ctx context.Context, m *raft.InstallSnapshot, data io.Reader) error {
	conn, f, _, err := p.dial(ctx, forSnapshot)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	defer closeWith(ctx, conn)()

	f.idle, f.stall = p.t.cfg.Limits.SnapshotStall, p.t.cfg.Limits.SnapshotStall
	result := make(chan error, 1)
	go func() {
		err := p.awaitResult(f)
		hangUp(conn) // nothing more is wanted: a blocked write ends
		result <- err
	}()
	failure := p.writeSnapshot(conn, m, data)
	if failure != nil {
		hangUp(conn)
	}
	verdict := <-result
	if failure == nil || verdict == nil || errors.Is(verdict, ErrRefused) {
		return verdict // which may have come before all was sent
	}
	return cause(failure, verdict)
}

// writeSnapshot sends the announcement, all data and the end.
func (p *peer) writeSnapshot(conn net.Conn, m *raft.InstallSnapshot, data io.Reader) error {
	buf := appendMessageFrame(make([]byte, 0, frameHeaderSize+snapshotChunk), m)
	if err := p.writeStream(conn, buf); err != nil {
		return err
	}
	var end snapshotEnd
	crc := uint32(0)
	for {
		chunk := buf[frameHeaderSize : frameHeaderSize+snapshotChunk]
		n, err := io.ReadFull(data, chunk)
		if n > 0 {
			crc = crc32.Update(crc, castagnoli, chunk[:n])
			end.length += uint64(n)
			frame := buf[:frameHeaderSize+n]
			finishFrame(frame, 0, frameSnapshotChunk)
			if err := p.writeStream(conn, frame); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read snapshot to send: %w", err)
		}
	}
	end.crc = uint64(crc)
	return p.writeStream(conn, appendLayout(nil, frameSnapshotEnd, func(c *coder) { c.snapshotEnd(&end) }))
}

func (p *peer) writeStream(conn net.Conn, b []byte) error {
	conn.SetWriteDeadline(time.Now().Add(p.t.cfg.Limits.SnapshotStall))
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	p.bytesOut.Add(uint64(len(b)))
	return nil
}

// awaitResult reads what the receiver says until it has a result.
func (p *peer) awaitResult(f *frameReader) error {
	for {
		kind, payload, err := f.read()
		switch {
		case err == io.EOF:
			return fmt.Errorf("await result: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return fmt.Errorf("await result: %w", err)
		case kind == frameSnapshotAlive:
		case kind == frameSnapshotResult && len(payload) == 0:
			return nil
		case kind == frameSnapshotResult:
			return &refusal{p.id, string(payload)}
		default:
			return fmt.Errorf("%w: frame of kind %d in a snapshot's result", ErrCorrupt, kind)
		}
	}
}

// receiveSnapshot takes the snapshot that the peer sends over conn. A new one
// supersedes one that is still arriving: its sender has given that up.
func (p *peer) receiveSnapshot(conn net.Conn, f *frameReader) {
	superseded, supersede := context.WithCancel(p.ctx)
	defer supersede()
	stop := closeWith(superseded, conn)
	defer stop()
	p.mu.Lock()
	older := p.supersede
	p.supersede = supersede
	p.mu.Unlock()
	older()
	select {
	case p.receiving <- struct{}{}:
		defer func() { <-p.receiving }()
	case <-superseded.Done(): // while it waited for one that is still being stored
		return
	}

	f.idle, f.stall = p.t.cfg.Limits.SnapshotStall, p.t.cfg.Limits.SnapshotStall
	f.maxPayload = snapshotFrameMax
	m, err := p.readAnnouncement(f)
	if err == nil {
		err = p.storeSnapshot(conn, m, &snapshotReader{peer: p, frames: f})
	}
	if p.ctx.Err() != nil {
		return
	}
	if err != nil {
		p.log.Warn("snapshot from peer not stored", "error", err)
	}
	conn.SetWriteDeadline(time.Now().Add(p.t.cfg.Limits.Stall))
	if _, err := conn.Write(appendFrame(nil, frameSnapshotResult, reasonFor(err))); err == nil {
		linger(conn)
	}
}

func (p *peer) readAnnouncement(f *frameReader) (*raft.InstallSnapshot, error) {
	kind, payload, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("read announcement: %w", err)
	}
	decoded, err := DecodeMessage(raft.MessageKind(kind), payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	m, ok := decoded.(*raft.InstallSnapshot)
	if !ok {
		return nil, fmt.Errorf("%w: %s on a connection for snapshots", ErrCorrupt, decoded.Kind())
	}
	return m, p.checkHead(m)
}

// storeSnapshot lets the receiver store the snapshot, and the sender know meanwhile
// that this goes on.
func (p *peer) storeSnapshot(conn net.Conn, m *raft.InstallSnapshot, data *snapshotReader) error {
	r := p.t.receiver.Load()
	if r == nil {
		return errors.New("not started yet")
	}
	stored, quiet := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(quiet)
		alive := appendFrame(nil, frameSnapshotAlive, nil)
		tick := time.NewTicker(aliveEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				conn.SetWriteDeadline(time.Now().Add(p.t.cfg.Limits.SnapshotStall))
				if _, err := conn.Write(alive); err != nil {
					hangUp(conn) // the sender is gone
					return
				}
			case <-stored:
				return
			}
		}
	}()
	err := (*r).ReceiveSnapshot(m, data)
	close(stored)
	<-quiet
	return err
}

// snapshotReader is the data of a snapshot that arrives. It ends with io.EOF only
// after all of it, checked.
type snapshotReader struct {
	peer   *peer
	frames *frameReader
	chunk  []byte // not yet read
	got    snapshotEnd
	err    error
}

func (s *snapshotReader) Read(b []byte) (int, error) {
	for len(s.chunk) == 0 && s.err == nil {
		s.chunk, s.err = s.next()
	}
	if len(s.chunk) == 0 && len(b) > 0 {
		return 0, s.err
	}
	n := copy(b, s.chunk)
	s.chunk = s.chunk[n:]
	return n, nil
}

// next returns the next chunk, which is valid until the next call.
func (s *snapshotReader) next() ([]byte, error) {
	kind, payload, err := s.frames.read()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot cut short after %d bytes: %w", s.got.length, err)
	}
	s.peer.heard()
	s.peer.bytesIn.Add(uint64(frameHeaderSize + len(payload)))
	switch kind {
	case frameSnapshotChunk:
		s.got.length += uint64(len(payload))
		s.got.crc = uint64(crc32.Update(uint32(s.got.crc), castagnoli, payload))
		return payload, nil
	case frameSnapshotEnd:
		var want snapshotEnd
		c := coder{buf: payload}
		c.snapshotEnd(&want)
		if err := c.end(); err != nil {
			return nil, fmt.Errorf("%w: end of snapshot: %w", ErrCorrupt, err)
		}
		if s.got != want {
			return nil, fmt.Errorf("%w: snapshot is %d bytes with checksum %08x, sent were %d with %08x",
				ErrCorrupt, s.got.length, s.got.crc, want.length, want.crc)
		}
		return nil, io.EOF
	default:
		return nil, fmt.Errorf("%w: frame of kind %d in a snapshot", ErrCorrupt, kind)
	}
}
