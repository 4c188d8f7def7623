package wal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/internal/wake"
	"balsa.example/raft"
	"balsa.example/vfs"
)

// DefaultSegmentSize is the length of a segment in bytes if Options do not say.
const DefaultSegmentSize = 16 << 20

// Options of a log. The zero value is good.
type Options struct {
	// FS is where all files are; nil means the operating system's.
	FS vfs.FS
	// SegmentSize is the length in bytes at which a segment is sealed and the next
	// begun. One batch that is larger gets a larger segment.
	SegmentSize int64
	// Logger gets the rare news; nil means none.
	Logger *slog.Logger
	// Rand gives salts; nil means crypto/rand.
	Rand io.Reader
	// Inline does the background work (next segment, removal of old ones) at the end
	// of the Save or Compact that causes it, so that a run can be repeated exactly.
	Inline bool
	// OnSync, if not nil, is told of each sync that a Save has waited for: how long it
	// took, and how many bytes were written before it. It must not call the Log.
	OnSync func(took time.Duration, bytes int)
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.SegmentSize <= 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.OnSync == nil {
		o.OnSync = func(time.Duration, int) {}
	}
	return o
}

// Log is the durable log and the snapshots of one node. It implements rsm.Storage.
//
// All methods may be called at once. The locks, in the order in which they may be
// taken: saving, installing, chores, filling, mu. None is held while a caller's
// function runs, but for Options.OnSync, which runs under saving.
type Log struct {
	dir    *directory
	opts   Options
	id     Identity
	unlock io.Closer

	// saving is held by Save from begin to end. It guards the fields of the writer.
	saving sync.Mutex
	pos    position
	seq    uint64   // of the last frame
	cur    *segment // where the next frame goes; replaced under filling too
	buf    []byte   // the frame at hand; kept for the next

	// filling is held while a piece of the next segment is written, never longer.
	filling sync.Mutex
	next    *segment // nil, or prepared and unused
	// nextSize is the size of next, or 0: for a look without waiting.
	nextSize atomic.Int64
	zeros    []byte

	// installing is held while snapshot files get or lose their names.
	installing sync.Mutex
	tempNumber atomic.Uint64
	urgent     atomic.Bool // see ExpediteSnapshots

	// chores is held by who does the background work.
	chores  sync.Mutex
	wake    wake.Signal
	quit    chan struct{}
	workers sync.WaitGroup
	// doomed are files without a name, for removeDoomed; shrinking counts them.
	doomed    chan string
	shrinking sync.WaitGroup
	low       atomic.Bool

	// mu guards what follows. Nothing slow happens under it.
	mu       sync.Mutex
	failed   error
	closed   bool
	loaded   *raft.State
	segments []segmentInfo // oldest first, the last is cur
	compact  raft.Index    // what Compact asked for
	snapshot snapshotInfo
	readers  map[raft.Index]int // how many read a snapshot
}

// segmentInfo is what is known of a live segment.
type segmentInfo struct {
	seq uint64
	// before is the last index of the log when the segment was begun.
	before raft.Index
	// used and size are in bytes; see segment.
	used, size int64
}

type snapshotInfo struct {
	index raft.Index
	size  int64
}

// Stats is for status pages.
type Stats struct {
	// LogBytes is what the live segments hold, and Segments their number.
	LogBytes int64
	Segments int
	// SnapshotIndex and SnapshotBytes describe the newest snapshot.
	SnapshotIndex raft.Index
	SnapshotBytes int64
	LowSpace      bool
}

// Stats returns the present figures.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		Segments:      len(l.segments),
		SnapshotIndex: l.snapshot.index,
		SnapshotBytes: l.snapshot.size,
		LowSpace:      l.low.Load(),
	}
	for _, info := range l.segments {
		s.LogBytes += info.used
	}
	return s
}

// Identity returns what Create was given.
func (l *Log) Identity() Identity { return l.id }

// LowSpace tells that the next segment could not be prepared, most likely because
// the disk is full. There is room for some more in the present one: the time to
// refuse new writes. It turns false by itself when a later attempt succeeds.
func (l *Log) LowSpace() bool { return l.low.Load() }

// Load is part of rsm.Log. It returns what Open found, and can be called once. from must be
// the newest snapshot, as OpenSnapshot names it.
//
// A snapshot that was received, but whose Persist was not yet saved when the crash
// came, is in the State although HardState.Term may be lower than its term.
func (l *Log) Load(from raft.SnapshotMeta) (raft.State, error) {
	if err := l.usable(); err != nil {
		return raft.State{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded == nil {
		return raft.State{}, errors.New("wal: loaded twice")
	}
	st := *l.loaded
	if from.Index != st.Snapshot.Index || from.Term != st.Snapshot.Term {
		return raft.State{}, fmt.Errorf("wal: load the log behind %s: the newest snapshot is %s", from, st.Snapshot)
	}
	l.loaded = nil
	return st, nil
}

// Compact allows the space of entries up to and with index to be reclaimed: whole
// segments are removed, soon. A durable snapshot must cover the entries.
func (l *Log) Compact(index raft.Index) error {
	l.mu.Lock()
	err, covered := l.failed, l.snapshot.index
	if err == nil && index <= covered {
		l.compact = max(l.compact, index)
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if index > covered {
		return fmt.Errorf("wal: compact at %d: the newest snapshot is of index %d", index, covered)
	}
	l.kick()
	return nil
}

// Close releases the directory. What was saved is durable already.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed, l.failed = true, ErrClosed
	l.mu.Unlock()
	if closed {
		return nil
	}
	close(l.quit)
	l.workers.Wait()
	l.saving.Lock()
	defer l.saving.Unlock()
	l.installing.Lock()
	defer l.installing.Unlock()
	l.chores.Lock()
	defer l.chores.Unlock()
	return l.release()
}

// release closes every file.
func (l *Log) release() error {
	var errs []error
	for _, s := range []*segment{l.cur, l.next} {
		if s != nil {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(append(errs, l.dir.close(), l.unlock.Close())...)
}

// usable returns the error that stopped the log, if any.
func (l *Log) usable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// fail stops the log for good: from here on nothing may be promised.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = fmt.Errorf("wal: stopped: %w", err)
		l.opts.Logger.Error("log stopped", "dir", l.dir.path, "err", err)
	}
	return l.failed
}
