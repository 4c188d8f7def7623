package transport

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"balsa.example/raft"
)

// A snapshot has a connection of its own, on which these frames follow the
// handshake:
//
//	sender                              receiver
//	InstallSnapshot ───────────────────►
//	chunk, chunk, ... ─────────────────►
//	end (length, CRC-32C of all data) ─►
//	                                   ◄─ result (empty: stored; or why not)
//
// The receiver may send its result at any time, and then takes no more. A stream
// without its end is cut short: the reader gets io.ErrUnexpectedEOF. Alive frames go both
// ways meanwhile (see line), so that either side may take its time with its disk.

// snapshotChunk is how much data goes into one frame, in bytes.
const snapshotChunk = 256 << 10

// snapshotFrameMax bounds the payload of every frame of a snapshot, in bytes.
const snapshotFrameMax = 1 << 20

// snapshotEnd is the payload of the end frame.
type snapshotEnd struct {
	length uint64
	crc    uint64
}

func (c *coder) snapshotEnd(v *snapshotEnd) {
	number(c, &v.length)
	number(c, &v.crc)
}

// SendSnapshot implements rsm.Transport. It takes as long as the peer lives, and one
// snapshot to a peer at a time; while data blocks, it cannot end.
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
	c, _, err := p.dial(ctx, forSnapshot)
	if err != nil {
		return err
	}
	defer c.close()
	result := make(chan error, 1)
	go func() {
		err := awaitResult(c)
		c.hangUp() // nothing more is wanted: a blocked write ends
		result <- err
	}()
	failure := p.writeSnapshot(c, m, data)
	if failure != nil {
		c.hangUp()
	}
	verdict := <-result
	if failure == nil || verdict == nil || errors.Is(verdict, ErrRefused) {
		return verdict // which may have come before all was sent
	}
	return cause(failure, verdict)
}

// writeSnapshot sends the announcement, all data and the end.
func (p *peer) writeSnapshot(c *connection, m *raft.InstallSnapshot, data io.Reader) error {
	buf := appendMessageFrame(make([]byte, 0, frameHeaderSize+snapshotChunk), m)
	if err := p.writeStream(c, buf); err != nil {
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
			if err := p.writeStream(c, frame); err != nil {
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
	return p.writeStream(c, appendLayout(nil, frameSnapshotEnd, func(c *coder) { c.snapshotEnd(&end) }))
}

func (p *peer) writeStream(c *connection, b []byte) error {
	if err := c.write(b); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	p.bytesOut.Add(uint64(len(b)))
	return nil
}

// awaitResult waits for what the receiver says in the end.
func awaitResult(c *connection) error {
	kind, payload, err := c.read()
	switch {
	case err == io.EOF:
		return fmt.Errorf("await result: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return fmt.Errorf("await result: %w", err)
	case kind != frameSnapshotResult:
		return fmt.Errorf("%w: frame of kind %d in a snapshot's result", ErrCorrupt, kind)
	case len(payload) > 0:
		return &Refusal{By: c.peer.id, Code: CodeMismatch, Reason: string(payload)}
	}
	return nil
}

// receiveSnapshot takes the snapshot that the peer sends over c. A new one supersedes
// one that is still arriving: its sender has given that up.
func (p *peer) receiveSnapshot(c *connection) {
	p.mu.Lock()
	old := p.snapshotIn
	p.snapshotIn = c
	p.mu.Unlock()
	if old != nil {
		old.hangUp()
	}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.snapshotIn == c {
			p.snapshotIn = nil
		}
	}()
	select {
	case p.receiving <- struct{}{}:
		defer func() { <-p.receiving }()
	case <-c.ctx.Done(): // superseded while it waited for one that is still being stored
		return
	}

	c.frames.maxPayload = snapshotFrameMax
	m, err := p.readAnnouncement(c)
	if err == nil {
		err = p.storeSnapshot(m, &snapshotReader{conn: c})
	}
	if p.ctx.Err() != nil {
		return
	}
	if err != nil {
		p.log.Warn("snapshot from peer not stored", "error", err)
	}
	if c.write(appendFrame(nil, frameSnapshotResult, reasonFor(err))) == nil {
		linger(c.conn)
	}
}

func (p *peer) readAnnouncement(c *connection) (*raft.InstallSnapshot, error) {
	kind, payload, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("read announcement: %w", err)
	}
	decoded, err := raft.DecodeMessage(raft.MessageKind(kind), payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	m, ok := decoded.(*raft.InstallSnapshot)
	if !ok {
		return nil, fmt.Errorf("%w: %s on a connection for snapshots", ErrCorrupt, decoded.Kind())
	}
	return m, p.checkHead(m)
}

// storeSnapshot lets the receiver store the snapshot.
func (p *peer) storeSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	r := p.t.receiver.Load()
	if r == nil {
		return errors.New("not started yet")
	}
	return r.ReceiveSnapshot(m, data)
}

// snapshotReader is the data of a snapshot that arrives. It ends with io.EOF only
// after all of it, checked.
type snapshotReader struct {
	conn  *connection
	chunk []byte // not yet read
	got   snapshotEnd
	err   error
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
	kind, payload, err := s.conn.read()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot cut short after %d bytes: %w", s.got.length, err)
	}
	s.conn.peer.bytesIn.Add(uint64(frameHeaderSize + len(payload)))
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
