package transport

import (
	"context"
	"errors"
	"fmt"
	"io"

	"balsa.example/raft"
)

// SendSnapshot implements rsm.Transport. It takes as long as the peer lives, and sends one
// snapshot to a peer at a time. While a Read of data blocks, it cannot end, but after 10 s it hangs
// up, so that the peer does not wait. A stream that broke off is resumed, if m names it and data is an io.Seeker.
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

	end := p.t.cfg.onSnapshot(p.id, true)
	err := p.sendSnapshot(ctx, m, data)
	end(err)
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
	kept, result := make(chan uint64, 1), make(chan error, 1)
	go func() {
		err := awaitResult(c, kept)
		c.hangUp() // nothing more is wanted: a blocked write ends
		result <- err
	}()
	failure := p.writeSnapshot(c, m, kept, data)
	if failure != nil {
		c.hangUp()
	}
	verdict := <-result
	if failure == nil || verdict == nil || errors.Is(verdict, ErrRefused) {
		return verdict // which may have come before all was sent
	}
	return cause(failure, verdict)
}

// awaitResult reads what the receiver says: up to where it keeps the stream, and how it ended.
func awaitResult(c *connection, kept chan<- uint64) error {
	for {
		kind, payload, err := c.read()
		switch {
		case err == io.EOF:
			return fmt.Errorf("await result: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return fmt.Errorf("await result: %w", err)
		case kind == frameSnapshotKept && kept != nil:
			offset, err := decodeOffset(payload)
			if err != nil {
				return err
			}
			kept <- offset
			kept = nil // it comes once
		case kind != frameSnapshotResult:
			return fmt.Errorf("%w: frame of kind %d in a snapshot's result", ErrCorrupt, kind)
		case len(payload) > 0:
			return &Refusal{By: c.peer.id, Code: CodeMismatch, Reason: string(payload)}
		default:
			return nil
		}
	}
}

// writeSnapshot sends all frames of the sender.
func (p *peer) writeSnapshot(c *connection, m *raft.InstallSnapshot, kept <-chan uint64, data io.Reader) error {
	if err := p.writeStream(c, appendMessageFrame(nil, m)); err != nil {
		return err
	}
	if m.Stream == 0 {
		return p.writeChunks(c, 0, timedReader{c, data})
	}
	var offset uint64
	select {
	case offset = <-kept:
	case <-c.ctx.Done():
		return errClosedHere // awaitResult knows why
	}
	begin, err := seek(data, offset)
	if err != nil {
		return fmt.Errorf("read data to send: %w", err)
	}
	if err := p.writeStream(c, appendOffset(nil, frameSnapshotBegin, begin)); err != nil {
		return err
	}
	return p.writeChunks(c, begin, timedReader{c, data})
}

// seek moves data to the offset, if that is possible, and returns where it is.
func seek(data io.Reader, offset uint64) (uint64, error) {
	s, ok := data.(io.Seeker)
	if !ok || offset == 0 {
		return 0, nil
	}
	at, err := s.Seek(int64(offset), io.SeekStart)
	return uint64(at), err
}
