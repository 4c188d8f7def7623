package memnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// Fetch implements rsm.Fetcher. The file arrives piece by piece, as it is read, and breaks off
// when one of the two servers stops, or a fault comes between them.
func (e *Endpoint) Fetch(ctx context.Context, from raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	self := e.current()
	switch {
	case self == nil:
		return nil, ErrUnreachable
	case len(name) > rsm.MaxFileName || offset < 0:
		return nil, fmt.Errorf("memnet: fetch from offset %d of a name of %d bytes", offset, len(name))
	}
	e.net.mu.Lock()
	e.net.counts.Messages++
	e.net.counts.Requests++
	e.net.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	f := &fetch{ctx: ctx, cancel: cancel}
	f.PipeReader, f.to = io.Pipe()
	context.AfterFunc(ctx, func() { f.to.CloseWithError(context.Cause(ctx)) })
	stop := context.AfterFunc(self.ctx, cancel)
	context.AfterFunc(ctx, func() { stop() })

	var refusal error
	h := nodeHop(e.id, from)
	err := e.net.exchange(ctx, h, func(_ context.Context, at *session) {
		refusal = e.net.open(f, h.back(), at, name, offset)
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// fetch is a file that arrives through a pipe.
type fetch struct {
	ctx    context.Context // ends with that of Fetch, with the server that fetches, and with Close
	cancel context.CancelFunc
	*io.PipeReader
	to *io.PipeWriter
}

// Close implements io.Closer.
func (f *fetch) Close() error {
	f.cancel()
	return f.PipeReader.Close()
}

// open opens the file at a server, and begins to send it along h.
func (n *Network) open(f *fetch, h hop, at *session, name []byte, offset int64) error {
	o, ok := at.receiver.(rsm.FileOpener)
	if !ok {
		return fmt.Errorf("memnet: %s serves no files", at.id)
	}
	file, err := o.OpenFile(name, offset)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("memnet: %s has no such file: %w", at.id, fs.ErrNotExist)
	case err != nil:
		return fmt.Errorf("memnet: %s refused the fetch: %v", at.id, err) // %v: only text travels
	}
	at.deliveries.Add(1) // that of the caller is not done yet
	stop := context.AfterFunc(at.ctx, func() { f.to.CloseWithError(io.ErrUnexpectedEOF) })
	n.work.Go(func() {
		defer at.deliveries.Done()
		defer stop()
		defer file.Close()
		f.to.CloseWithError(n.sendFile(f, h, at, file))
	})
	return nil
}

// sendFile returns how the sent file ends: with io.EOF or an error.
func (n *Network) sendFile(f *fetch, h hop, at *session, file io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		k, err := file.Read(buf)
		if ok, _ := n.connected(h, at); !ok {
			return io.ErrUnexpectedEOF
		}
		n.mu.Lock()
		n.counts.Bytes += uint64(k)
		n.mu.Unlock()
		if _, gone := f.to.Write(buf[:k]); gone != nil {
			return gone
		}
		if err != nil && err != io.EOF {
			err = fmt.Errorf("memnet: %s cannot read the file: %v", at.id, err)
		}
		if err != nil {
			return err
		}
	}
}
