package offline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"balsa.example/internal/datadir"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// Problem is one thing that is not in order.
type Problem struct {
	File   string // that it is in
	Offset int64
	What   string // with the file and the offset
	Do     string
}

// Report is what a directory holds, as far as it could be read.
type Report struct {
	Members *datadir.Found // nil: there is no MEMBERS, or it cannot be read
	Log     *wal.Found     // nil: there is none, or it cannot be read
	// State is the newest durable state; nil: there is none, or it cannot be read.
	State *state.Image
	// Witness tells that the log begins behind entries that no state has: only a witness's does.
	Witness  bool
	Problems []Problem
	// Unlocked is why no server was kept from starting meanwhile; nil: none could, or the directory has no LOCK.
	Unlocked error
}

// ErrInUse: a server runs on the directory, or a function of this package reads it.
var ErrInUse = errors.New("a server runs on the directory, or a command reads it: stop it first")

// hold is datadir.Hold.
func hold(fsys vfs.FS, dir string) (release func(), unheld, err error) {
	release, unheld, err = datadir.Hold(fsys, dir)
	if errors.Is(err, datadir.ErrInUse) {
		return nil, nil, fmt.Errorf("%s: %w", dir, ErrInUse)
	}
	return release, unheld, err
}

// ErrWitness: a witness has dropped what it had of the data.
var ErrWitness = errors.New("the directory of a witness has no data, only the end of the log")

// ErrNothing: there is no data directory.
var ErrNothing = errors.New("it holds nothing of a server")

// ErrMissing: the path is that of nothing.
var ErrMissing = errors.New("there is no such directory")

// Check reads all of a data directory, and checks
//
//   - MEMBERS: its checksum, and whether the directory may be used any more;
//   - the log: each record, and that it belongs to the MEMBERS beside it;
//   - the state: see state.CheckDir;
//   - that the log leads on from the state, without a gap.
//
// A directory is valid if a server can be started from it, or can begin a cluster with it. That includes everything that a
// crash leaves, at any moment. No server starts on it meanwhile, if it has a LOCK. pace is called with the number of bytes that were read
// of the history.
func Check(ctx context.Context, fsys vfs.FS, dir string, pace func(int)) (*Report, error) {
	release, unheld, err := hold(fsys, dir)
	if err != nil {
		return nil, err
	}
	defer release()
	c := &checker{fs: fsys, dir: dir, r: Report{Unlocked: unheld}}
	if err := c.members(); err != nil {
		return nil, err
	}
	if err := c.log(); err != nil {
		return nil, err
	}
	if err := c.state(ctx, pace); err != nil {
		return nil, err
	}
	if c.r.Members == nil && c.r.Log == nil && c.r.State == nil && len(c.r.Problems) == 0 {
		return nil, fmt.Errorf("%s: %w", dir, ErrNothing)
	}
	return &c.r, nil
}

// What is to be done.
const (
	doReplace = "replace this member (balsa member replace); of a cluster of one server, restore a backup"
	doRestart = "start the server: it takes the file from another member; of a cluster of one server, restore a backup"
	doNewer   = "use the version of balsa that has written it"
)

type checker struct {
	fs  vfs.FS
	dir string
	r   Report
}

func (c *checker) bad(file string, offset int64, do, format string, args ...any) {
	c.r.Problems = append(c.r.Problems, Problem{file, offset, fmt.Sprintf(format, args...), do})
}

// members checks MEMBERS. The error is one of the disk.
func (c *checker) members() (err error) {
	path := filepath.Join(c.dir, "MEMBERS")
	c.r.Members, err = datadir.Inspect(c.fs, c.dir)
	switch {
	case errors.Is(err, datadir.ErrNewerFormat), errors.Is(err, datadir.ErrOlderFormat):
		c.bad(path, 0, doNewer, "%v", err)
	case errors.Is(err, datadir.ErrDamaged):
		c.bad(path, 0, doReplace, "%v", err)
	case err != nil:
		return err
	case c.r.Members != nil && c.r.Members.Diverged != "":
		c.bad(filepath.Join(c.dir, "DIVERGED"), 0, doReplace, "the state of this member differed from that of a majority: %s", c.r.Members.Diverged)
	}
	return nil
}

func (c *checker) log() (err error) {
	path := filepath.Join(c.dir, "wal")
	corrupt := new(wal.CorruptionError)
	m := c.r.Members
	switch c.r.Log, err = wal.Inspect(c.fs, path); {
	case errors.Is(err, wal.ErrNotCreated):
		if m != nil && m.Active {
			c.bad(path, 0, doReplace, "the log is missing")
		}
		return nil
	case errors.As(err, &corrupt):
		c.bad(corrupt.File, corrupt.Offset, doReplace, "%v", err)
		return nil
	case errors.Is(err, wal.ErrNewerFormat), errors.Is(err, wal.ErrOlderFormat):
		c.bad(path, 0, doNewer, "%v", err)
		return nil
	case err != nil:
		return err
	}
	switch id := c.r.Log.Identity; {
	case m == nil && len(c.r.Problems) == 0:
		c.bad(filepath.Join(c.dir, "MEMBERS"), 0, doReplace, "MEMBERS is missing, and there is a log")
	case m != nil && id != m.Identity:
		c.bad(path, 0, doReplace, "the log is of member %s, incarnation %x, of cluster %016x, and MEMBERS of %s, %x, of %016x",
			id.NodeID, id.Incarnation, id.ClusterID, m.Identity.NodeID, m.Identity.Incarnation, m.Identity.ClusterID)
	}
	if lost := c.r.Log.HardState.LostLog; lost > 0 {
		c.bad(path, 0, doReplace, "this log has lost entries that it had acknowledged, up to %d: it is an old copy", lost)
	}
	return nil
}

// state checks the state, and that the log leads on from it. The error says nothing of the directory.
func (c *checker) state(ctx context.Context, pace func(int)) (innocent error) {
	cluster := uint64(0)
	if c.r.Log != nil {
		cluster = c.r.Log.Identity.ClusterID
	} else if c.r.Members != nil {
		cluster = c.r.Members.Identity.ClusterID
	}
	dir := filepath.Join(c.dir, "state")
	damaged := false
	c.r.State = state.CheckDir(ctx, c.fs, dir, cluster, pace, func(err error) {
		damaged = true
		corrupt := new(run.CorruptError)
		switch {
		case run.Innocent(err):
			innocent = errors.Join(innocent, err)
		case errors.As(err, &corrupt):
			c.bad(corrupt.File, corrupt.Offset, doRestart, "%v", err)
		case errors.Is(err, state.ErrNewer):
			c.bad(dir, 0, doNewer, "%v", err)
		default:
			c.bad(dir, 0, doReplace, "%v", err)
		}
	})
	if innocent = errors.Join(ctx.Err(), innocent); innocent != nil || c.r.Log == nil || damaged && c.r.State == nil {
		return innocent
	}
	var position raft.SnapshotMeta
	if c.r.State != nil {
		position = c.r.State.Position()
	}
	c.r.Witness = isWitness(position, c.r.Log)
	if _, _, err := c.r.Log.After(position); err != nil {
		c.bad(filepath.Join(c.dir, "wal"), 0, doReplace, "the log does not go on from the state: %v", err)
	}
	return nil
}

// isWitness tells whether the log begins behind entries that the state has not, as that of a witness
// does: the snapshots there have a position, and no data. All other logs begin with index 0, and have no snapshots behind that.
func isWitness(position raft.SnapshotMeta, log *wal.Found) bool {
	return position.Index == 0 && log.Beginning.Index > 0
}
