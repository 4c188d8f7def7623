package transport

import (
	"errors"
	"fmt"

	"balsa.example/raft"
)

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

	c.frames.maxPayload = streamFrameMax
	err := p.storeSnapshot(c)
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

// storeSnapshot lets the receiver store a snapshot, or the rest of one.
func (p *peer) storeSnapshot(c *connection) error {
	m, err := p.readAnnouncement(c)
	if err != nil {
		return err
	}
	r := p.t.receiver.Load()
	if r == nil {
		return errors.New("not started yet")
	}
	m.Offset = 0
	if m.Stream != 0 {
		if m.Offset, err = negotiateOffset(c, r, m); err != nil {
			return err
		}
	}
	end := p.t.cfg.onSnapshot(p.id, false)
	err = r.ReceiveSnapshot(m, &streamReader{conn: c, got: streamEnd{length: m.Offset}})
	end(err)
	return err
}

// negotiateOffset tells the sender up to where the stream of m is stored here, and returns
// where the sender begins.
func negotiateOffset(c *connection, r *started, m *raft.InstallSnapshot) (uint64, error) {
	var kept uint64
	if r.offset != nil {
		kept = uint64(max(0, r.offset(m)))
	}
	if err := c.write(appendOffset(nil, frameSnapshotKept, kept)); err != nil {
		return 0, fmt.Errorf("write offset of snapshot: %w", err)
	}
	kind, payload, err := c.read()
	if err != nil {
		return 0, fmt.Errorf("read begin of snapshot: %w", err)
	}
	if kind != frameSnapshotBegin {
		return 0, fmt.Errorf("%w: frame of kind %d at the begin of a snapshot", ErrCorrupt, kind)
	}
	begin, err := decodeOffset(payload)
	if err == nil && begin != kept && begin != 0 {
		err = fmt.Errorf("%w: snapshot begins at %d, and %d bytes are stored", ErrCorrupt, begin, kept)
	}
	return begin, err
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
