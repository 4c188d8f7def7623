package wal

import (
	"errors"
	"fmt"
	"sync"

	"balsa.example/raft"
)

// loader hands out what Open found, once.
type loader struct {
	*base
	writer *writer

	mu struct {
		sync.Mutex
		replay *replay           // nil after load
		newest raft.SnapshotMeta // the newest snapshot
	}
}

// set is for recovery.
func (l *loader) set(r *replay, newest raft.SnapshotMeta) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.replay, l.mu.newest = r, newest
}

// pending tells whether load is still to come.
func (l *loader) pending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.replay != nil
}

// load is Load.
func (l *loader) load(from raft.SnapshotMeta) (raft.State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.failure.get(); err != nil {
		return raft.State{}, err
	}
	r, newest := l.mu.replay, l.mu.newest
	switch {
	case r == nil:
		return raft.State{}, errors.New("wal: loaded twice")
	case !l.opts.NoSnapshots && (from.Index != newest.Index || from.Term != newest.Term):
		return raft.State{}, fmt.Errorf("wal: load the log behind %s: the newest snapshot is %s", from, newest)
	case from.Index == 0:
		from = newest // of index 0 too, and with the configuration that Create was given
	}
	entries, err := begin(r, from, l.writer)
	if err != nil {
		return raft.State{}, fmt.Errorf("wal: load the log behind %s: %w", from, err)
	}
	l.mu.replay = nil
	return raft.State{HardState: r.pos.hard, Snapshot: from, Entries: entries}, nil
}

// begin returns the entries that follow from. If the log does not lead up to from, it is
// replaced by an empty one behind from, durably.
func begin(r *replay, from raft.SnapshotMeta, w *writer) ([]raft.Entry, error) {
	entries, contradicts, err := r.after(from)
	if err != nil || !contradicts {
		return entries, err
	}
	w.opts.Logger.Info("the log ends before the durable state, or contradicts it, and is replaced",
		"state", from.String(), "last", r.pos.last)
	if err := w.save([]raft.Persist{{Snapshot: &from}}); err != nil {
		return nil, err
	}
	return nil, r.restart(from)
}
