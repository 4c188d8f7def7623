package wal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"balsa.example/raft"
	"balsa.example/vfs"
)

// defaultSegmentSize is the length of a segment in bytes if Options do not say.
const defaultSegmentSize = 16 << 20

// Options of a log. The zero value is good.
type Options struct {
	// FS holds all files; nil means the operating system's.
	FS vfs.FS
	// SegmentSize is the length in bytes at which a segment is sealed and the next
	// begun. One batch that is larger gets a larger segment.
	SegmentSize int64
	// NoSnapshots says that the log keeps no snapshots, since the state machine makes its
	// state durable by itself. SaveSnapshot fails then. The log cannot check what such a
	// machine says of its state: Load, Compact and a Persist with a Snapshot believe it. The
	// machine must have the state on disk before it names its position. Save fails before Load.
	NoSnapshots bool
	// Logger gets the rare messages; nil means none.
	Logger *slog.Logger
	// Rand gives the salts; nil means crypto/rand.
	Rand io.Reader
	// Inline does the background work (preparing the next segment, removing old ones) at
	// the end of the Save or Compact that causes it, so that a run can be repeated exactly.
	Inline bool
	// noReuse, for tests, says that no file is used again.
	noReuse bool
	// OnSync, if not nil, is called after each sync that a Save has waited for, with the
	// time it took and the bytes written before it. It must not call the Log.
	OnSync func(took time.Duration, bytes int)
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.SegmentSize <= 0 {
		o.SegmentSize = defaultSegmentSize
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

// gradual returns the file system to use for the log in dir, and what ends its removals. An Inline
// log has none that go on, whose order would depend on a goroutine.
func (o Options) gradual(dir string) (fsys vfs.FS, close func()) {
	if o.Inline {
		return o.FS, func() {}
	}
	g := vfs.NewGradual(o.FS, func(err error) { o.Logger.Warn("cannot remove a file", "dir", dir, "err", err) })
	return g, g.Close
}

// Log is the durable log and the snapshots of one node. It implements rsm.Storage.
// All methods may be called at once.
//
// Each part has a lock of its own. A part takes another's lock only by calling it, and
// calls go down this list alone:
//
//	Log ─► loader      what Open found: Load
//	          └─► writer
//	    ─► writer      the segment that is written: Save
//	    ─► background  prepares the spare segment, removes segments
//	    ─► snapshots   the snapshot files
//	          └─► spare
//	                └─► liveSegments, failure, directory
//
// No lock is held while a caller's function runs, but for Options.OnSync, which runs
// under the writer's.
type Log struct {
	*base
	unlock io.Closer
	// endRemovals ends what frees the space of removed files.
	endRemovals func()

	loader     *loader
	writer     *writer
	background *background
	snapshots  *snapshots
	spare      *spare
	live       *liveSegments
}

// base is what the parts of a Log share. Only failure and directory change, and have locks.
type base struct {
	dir     *directory
	opts    Options
	id      Identity
	failure failure
}

// newLog puts the parts together. What they hold is set by recovery.
func newLog(d *directory, opts Options, unlock io.Closer) *Log {
	b := &base{dir: d, opts: opts}
	live, snapshots := &liveSegments{}, &snapshots{base: b}
	spare := &spare{base: b, live: live}
	w := &writer{base: b, live: live, spare: spare, snapshots: snapshots}
	return &Log{
		base: b, unlock: unlock,
		loader: &loader{base: b, writer: w}, writer: w,
		background: newBackground(b, live, spare),
		snapshots:  snapshots, spare: spare, live: live,
	}
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
	snapshot := l.snapshots.newest()
	s := Stats{SnapshotIndex: snapshot.index, SnapshotBytes: snapshot.size, LowSpace: l.LowSpace()}
	s.Segments, s.LogBytes = l.live.size()
	return s
}

// Identity returns what Create was given.
func (l *Log) Identity() Identity { return l.id }

// LowSpace tells that the next segment could not be prepared, most likely because the
// disk is full. The present segment has some room left: it is time to refuse new
// writes. LowSpace turns false by itself when a later attempt succeeds.
func (l *Log) LowSpace() bool { return l.background.lowSpace.Load() }

// Load returns the hard state, and the entries behind from, which is where the state machine
// begins. It can be called once.
//
// from is the newest snapshot, as OpenSnapshot names it, and nothing else is accepted. With
// Options.NoSnapshots it is the position of the state machine:
//
//   - If the log does not hold from.Index with from.Term, then the log is replaced by an empty
//     one behind from. That is durable when Load returns.
//   - If from.Index is below what the log was compacted to, or restarted from, the machine has
//     lost its state. That is an error, and changes nothing.
//   - If from.Index is 0, the machine is new: State.Snapshot has the configuration that Create
//     was given.
//
// HardState.Term may be lower than the snapshot's term: a crash came when a snapshot of the
// leader had been stored, and its Persist had not.
func (l *Log) Load(from raft.SnapshotMeta) (raft.State, error) { return l.loader.load(from) }

// Save makes all of ps durable with one write and one sync, together or not at
// all. After an error the log is stopped: each later call returns the same one.
func (l *Log) Save(ps []raft.Persist) error {
	if l.opts.NoSnapshots && l.loader.pending() && l.failure.get() == nil {
		return errors.New("wal: save before load: the log may not be the one that follows the state machine")
	}
	if err := l.writer.save(ps); err != nil {
		return err
	}
	if l.background.hasWork() {
		l.background.wake()
	}
	return nil
}

// Compact allows the space of entries up to and with index to be reclaimed: whole
// segments are removed, soon. The newest snapshot must cover the entries, or it is an
// error. With Options.NoSnapshots the state that the machine has on disk must cover them.
func (l *Log) Compact(index raft.Index) error {
	if err := l.failure.get(); err != nil {
		return err
	}
	if newest := l.snapshots.newest().index; !l.opts.NoSnapshots && index > newest {
		return fmt.Errorf("wal: compact at %d: the newest snapshot is of index %d", index, newest)
	}
	l.live.compact(index)
	l.background.wake()
	return nil
}

// SaveSnapshot stores the snapshot whose data write produces. It may be called
// while Save, or another SaveSnapshot, is under way. At or below the index of the
// newest snapshot it returns nil, maybe without a call to write. If the disk is
// full or write fails, nothing has changed and the log goes on.
func (l *Log) SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	return l.snapshots.save(meta, write)
}

// OpenSnapshot opens the newest snapshot. The reader verifies what it reads: of a
// damaged file it returns a *CorruptionError, and only the io.EOF at the end says
// that all was well. It is not affected by newer snapshots, nor by Close. It has to be closed before
// another Log of the directory is opened, which would not know of it and free what it reads.
func (l *Log) OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error) {
	return l.snapshots.open()
}

// ExpediteSnapshots is rsm.Expediter's: urgent snapshots are written without rests, those
// that are being written already too.
func (l *Log) ExpediteSnapshots(urgent bool) { l.snapshots.urgent.Store(urgent) }

// Close releases the directory. What was saved is durable already.
func (l *Log) Close() error {
	if !l.failure.close() {
		return nil
	}
	l.background.stop()
	l.snapshots.stop()
	return l.release()
}

// release closes every file.
func (l *Log) release() error {
	l.endRemovals()
	return errors.Join(l.writer.close(), l.spare.close(), l.dir.close(), l.unlock.Close())
}
