package transport

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"balsa.example/raft"
)

// A fetch reads a file of another node's state machine. It has a connection of its own, on
// which these frames follow the handshake:
//
//	node that fetches                   node that has the file
//	fetch (name, offset) ──────────────►
//	                                   ◄─ opened
//	                                   ◄─ chunk, chunk, ...
//	                                   ◄─ end (length, CRC-32C)
//
// A failed frame (why) may take the place of any frame of the node that has the file, and is
// the last one. The length is that of the file, and so counts the offset, too. Keepalive
// frames go both ways meanwhile. The node that fetches hangs up when it needs no more.

const (
	// fetchNameMax bounds the name of a file, in bytes: rsm.MaxFileName.
	fetchNameMax = 1 << 10
	// fetchFrameMax bounds the payload of a frame from a node that fetches, in bytes.
	fetchFrameMax = fetchNameMax + 64

	// maxFetches is how many fetches from one peer there may be at a time.
	maxFetches = 2
	// maxServedFetches is how many fetches by one peer are served at a time. There are more than
	// maxFetches while this node has not noticed yet that the peer has given some up.
	maxServedFetches = 2 * maxFetches

	// diskReadMax bounds how long the disk may take for one Read of a file or a snapshot. Without it a transfer
	// from a node whose disk hangs would not end: the keepalive frames go on.
	diskReadMax = 10 * time.Second
)

// fetchRequest is the payload of a fetch frame.
type fetchRequest struct {
	name   []byte
	offset uint64
}

func (c *coder) fetchRequest(v *fetchRequest) {
	c.bytes(&v.name)
	number(c, &v.offset)
}

// appendFailed appends a failed frame, whose payload is a verdict.
func appendFailed(dst []byte, why error) []byte {
	v := verdictOf(why)
	return appendLayout(dst, frameFailed, func(c *coder) { c.verdict(&v) })
}

// decodeFailed returns the error that a failed frame of node by tells.
func decodeFailed(payload []byte, by raft.NodeID) error {
	var v verdict
	c := coder{buf: payload}
	c.verdict(&v)
	if err := c.end(); err != nil {
		return fmt.Errorf("%w: why a fetch failed: %w", ErrCorrupt, err)
	}
	v.code = max(v.code, CodeMismatch)
	return v.err(by)
}

// Fetch implements rsm.Fetcher. At most two fetches from a peer are possible at a time: one
// more is ErrBusy until the reader of another one was closed. The error is fs.ErrNotExist if
// the peer has no such file, and ErrRefused if it cannot serve any now.
func (t *Transport) Fetch(ctx context.Context, from raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	p := t.peer(from)
	switch {
	case p == nil:
		return nil, fmt.Errorf("%w: %s", ErrUnknownPeer, from)
	case len(name) > fetchNameMax:
		return nil, fmt.Errorf("transport: fetch from %s: the name of the file has %d bytes, at most %d are allowed", from, len(name), fetchNameMax)
	case offset < 0:
		return nil, fmt.Errorf("transport: fetch from %s: the offset %d is negative", from, offset)
	}
	select {
	case p.fetching <- struct{}{}:
	default:
		return nil, fmt.Errorf("%w: %s", ErrBusy, from)
	}
	f := &fetch{peer: p}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	f.stop = context.AfterFunc(p.ctx, func() { f.cancel(ErrClosed) })
	if err := f.open(&fetchRequest{name, uint64(offset)}); err != nil {
		err = fmt.Errorf("fetch from %s: %w", from, f.cause(err))
		f.Close()
		return nil, err
	}
	return f, nil
}

// fetch is a file that arrives.
type fetch struct {
	peer   *peer
	ctx    context.Context // ends with the caller's, with the peer, and with Close
	cancel context.CancelCauseFunc
	stop   func() bool
	conn   *connection // nil before there is one
	data   streamReader
	once   sync.Once // guards Close
}

// open asks for the file, and waits until the peer has opened it.
func (f *fetch) open(req *fetchRequest) (err error) {
	if f.conn, _, err = f.peer.dial(f.ctx, forFetch); err != nil {
		return err
	}
	if err := f.peer.writeStream(f.conn, appendLayout(nil, frameFetch, func(c *coder) { c.fetchRequest(req) })); err != nil {
		return err
	}
	f.conn.frames.maxPayload = streamFrameMax
	kind, payload, err := f.conn.read()
	switch {
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case kind == frameFailed:
		return decodeFailed(payload, f.peer.id)
	case kind != frameOpened:
		return fmt.Errorf("%w: frame of kind %d in answer to a fetch", ErrCorrupt, kind)
	}
	f.data = streamReader{conn: f.conn, got: streamEnd{length: req.offset}}
	return nil
}

// Read implements io.Reader.
func (f *fetch) Read(b []byte) (int, error) {
	n, err := f.data.Read(b)
	if err != nil && err != io.EOF {
		err = f.cause(err)
	}
	return n, err
}

// cause is why a fetch failed with err: that its context has ended, if it has.
func (f *fetch) cause(err error) error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	return err
}

// Close implements io.Closer.
func (f *fetch) Close() error {
	f.once.Do(func() {
		f.stop()
		f.cancel(ErrClosed)
		if f.conn != nil {
			f.conn.close()
		}
		<-f.peer.fetching
	})
	return nil
}
