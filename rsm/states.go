package rsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"balsa.example/raft"
)

// This file is how a Node stores, sends and receives states of its machine.

// checkpoint does the work of a checkpoint in the background.
func (n *Node[Op, Result]) checkpoint(c *Checkpoint) {
	n.others.Go(func() {
		written, err := c.Work(n.ctx)
		log := n.cfg.Logger.With("id", n.cfg.ID, "index", c.Position.Index)
		switch {
		case errors.Is(err, ErrMachineFailed):
			n.fail(err)
			return
		case err != nil:
			log.Warn("snapshot given up", "error", err)
		default:
			log.Info("snapshot saved", "bytes", written)
		}
		n.inbox.call(func(r *Replica[waiter[Result]]) {
			if r != nil {
				r.SnapshotDone(c.Position, written, err == nil)
			}
		})
	})
}

// SnapshotOffset is part of ResumingReceiver.
func (n *Node[Op, Result]) SnapshotOffset(m *raft.InstallSnapshot) int64 {
	return n.machine.StateOffset(m.Meta, m.Stream)
}

// ReceiveSnapshot is part of Receiver.
func (n *Node[Op, Result]) ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	answer := make(chan error, 1)
	w := func(o outcome[Result]) { answer <- o.err }
	if err := n.inbox.addSnapshotOffer(SnapshotOffer[waiter[Result]]{m, w}); err != nil {
		return err
	}
	switch err := <-answer; {
	case errors.Is(err, ErrSnapshotNotNeeded):
		_, err := io.Copy(io.Discard, data)
		n.inbox.addMessage(m)
		return err
	case err != nil:
		return err
	}
	log := n.cfg.Logger.With("id", n.cfg.ID, "from", m.From, "index", m.Meta.Index)
	log.Info("snapshot arrives", "offset", m.Offset)
	ctx, cancel := context.WithCancelCause(n.ctx)
	n.receiving.Store(&cancel)
	counted := &countingReader{r: &untilDone{ctx: ctx, r: data}}
	err := n.machine.ReceiveState(ctx, m.Meta, m.Stream, int64(m.Offset), counted)
	n.receiving.Store(nil)
	notNeeded := err != nil && errors.Is(context.Cause(ctx), ErrSnapshotNotNeeded)
	cancel(nil)
	bytes := int64(m.Offset) + counted.n
	switch {
	case errors.Is(err, ErrMachineFailed):
		n.fail(err)
	case err == nil:
		log.Info("snapshot received", "bytes", bytes)
	case notNeeded:
		log.Info("snapshot not needed any more: the log had what is in it")
	}
	n.inbox.call(func(r *Replica[waiter[Result]]) {
		if r != nil {
			r.SnapshotReceived(m, bytes, err == nil)
		}
	})
	if notNeeded && !errors.Is(err, ErrMachineFailed) {
		n.inbox.addMessage(m) // the reply tells the leader how far this member is
	}
	return err
}

// connectFiles gives a machine that fetches files what it fetches them by.
func (n *Node[Op, Result]) connectFiles() {
	machine, fetches := n.machine.(FetchingMachine)
	if f, ok := n.cfg.Transport.(Fetcher); ok && fetches {
		machine.UseFetcher(notedFetcher{f, &n.fetched})
	}
}

// notedFetcher is a Fetcher that notes that something arrives.
type notedFetcher struct {
	Fetcher
	arrived *atomic.Bool
}

func (f notedFetcher) Fetch(ctx context.Context, from raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	data, err := f.Fetcher.Fetch(ctx, from, name, offset)
	if err != nil {
		return nil, err
	}
	return notedFile{data, f.arrived}, nil
}

type notedFile struct {
	io.ReadCloser
	arrived *atomic.Bool
}

func (f notedFile) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if n > 0 {
		f.arrived.Store(true)
	}
	return n, err
}

// errNoFiles: this member cannot serve a Fetch.
var errNoFiles = errors.New("the state machine of this member has no files to fetch")

// OpenFile makes a Node a FileOpener. It asks the machine.
func (n *Node[Op, Result]) OpenFile(name []byte, offset int64) (io.ReadCloser, error) {
	if o, ok := n.machine.(FileOpener); ok {
		return o.OpenFile(name, offset)
	}
	return nil, errNoFiles
}

// startTransfers begins the transfers of a turn, and closes the kept streams that it gives up.
func (n *Node[Op, Result]) startTransfers(e *Effects[waiter[Result]]) {
	for _, id := range e.CloseStreams {
		n.closeStream(id)
	}
	for _, t := range e.Snapshots {
		stream := n.streams[t.To]
		if !t.Resume {
			n.closeStream(t.To)
			stream = nil
		}
		delete(n.streams, t.To)
		n.others.Go(func() { n.sendState(t, stream) })
	}
}

func (n *Node[Op, Result]) closeStream(to raft.NodeID) {
	if s := n.streams[to]; s != nil {
		if err := s.Data.Close(); err != nil {
			n.cfg.Logger.Warn("a stream of the state was not closed", "id", n.cfg.ID, "error", err)
		}
		delete(n.streams, to)
	}
}

// sendState streams the state to a member: on an open stream, or if that is nil on a new
// one. It reports a failure to the core only after an election timeout, since the core then
// tries again at once.
func (n *Node[Op, Result]) sendState(t Transfer, stream *StateStream) {
	h := t.Header
	stream, err := n.streamState(t, stream)
	index := raft.Index(0)
	if stream != nil {
		index = stream.Position.Index
	}
	n.logSent(h.To, index, err)
	if err != nil {
		select {
		case <-time.After(n.cfg.ElectionTimeout):
		case <-n.stop:
		}
	}
	kept := err != nil && stream != nil && stream.ID != 0 && !errors.Is(err, errUnreadable)
	if stream != nil && !kept {
		if closeErr := stream.Data.Close(); err == nil {
			err = closeErr
		}
	}
	n.inbox.call(func(r *Replica[waiter[Result]]) {
		switch {
		case r != nil && kept:
			n.closeStream(h.To)
			n.streams[h.To] = stream
			fallthrough
		case r != nil:
			r.SnapshotSent(h.To, index, err == nil, kept)
		case kept:
			stream.Data.Close()
		}
	})
}

// errUnreadable: the data of a stream cannot be read. A transfer of the same stream would fail
// again. A new stream may be good.
var errUnreadable = errors.New("read the state to send")

// streamState returns the stream that it has sent or tried to send, nil if none can be
// opened.
func (n *Node[Op, Result]) streamState(t Transfer, stream *StateStream) (*StateStream, error) {
	if t.Witness != nil {
		stream = WitnessStream(*t.Witness)
	} else if stream == nil {
		s, err := n.machine.OpenState()
		if err != nil {
			return nil, err
		}
		stream = &s
	} else if _, err := stream.Data.(io.Seeker).Seek(0, io.SeekStart); err != nil {
		return stream, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	m := &raft.InstallSnapshot{Header: t.Header, Meta: stream.Position, Stream: stream.ID}
	if err := m.Check(); err != nil {
		return stream, err
	}
	r := &streamReader{data: stream.Data}
	var data io.Reader = r
	if stream.ID != 0 {
		data = seekableStream{r}
	}
	err := n.cfg.Transport.SendSnapshot(n.ctx, m, data)
	if err != nil && r.err != nil {
		err = fmt.Errorf("%w: %w", errUnreadable, r.err)
	}
	return stream, err
}

// streamReader remembers the error that its data has returned, since that of a Transport does
// not tell whether the data or the network failed.
type streamReader struct {
	data io.Reader
	err  error // nil also at the end of the data
}

func (s *streamReader) Read(p []byte) (int, error) {
	n, err := s.data.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// seekableStream is a streamReader of data that is an io.Seeker.
type seekableStream struct{ *streamReader }

func (s seekableStream) Seek(offset int64, whence int) (int64, error) {
	at, err := s.data.(io.Seeker).Seek(offset, whence)
	if err != nil {
		s.err = err
	}
	return at, err
}

func (n *Node[Op, Result]) logSent(to raft.NodeID, index raft.Index, err error) {
	if n.stopping() {
		return
	}
	log := n.cfg.Logger.With("id", n.cfg.ID, "to", to, "index", index)
	if err == nil {
		n.snapshotErrors.Delete(to)
		log.Info("snapshot sent")
		return
	}
	level := slog.LevelWarn
	if before, _ := n.snapshotErrors.Swap(to, err.Error()); before == err.Error() {
		level = slog.LevelDebug // the same error repeats while the member is away
	}
	log.Log(context.Background(), level, "snapshot not sent", "error", err)
}
