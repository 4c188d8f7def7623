package datadir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync/atomic"

	"balsa.example/internal/birth"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// LockName is the file that is locked while a process uses a data directory.
const LockName = "LOCK"

// The other names in a data directory, besides memberFileName.
const (
	walName      = "wal"
	divergedName = "DIVERGED"
	stateName    = "state" // is the replica's; before the cluster has begun it is there if it was restored
)

// Owner is the member that a directory belongs to, as the server was told.
type Owner struct {
	// About is what the member is called and where it is found.
	About roster.About
	// Joins says that a new directory is that of a member which joins a running cluster: its id
	// is not known yet, and the fields below are of no use.
	Joins bool

	// Origin is that of the state in the directory with which the cluster is to begin; zero: it is to
	// begin empty.
	Origin birth.Origin

	// ID is the member's, if it is an initial one. None: this server was not told.
	ID raft.NodeID
	// Group tells clusters apart that have members of the same names, and Token those that have
	// the same members. Both count until the cluster has begun. From then on the members may be
	// others than the initial ones; an empty Token is any then.
	Group uint64
	Token string
	// Members are all initial members in an order on which all of them agree. The first
	// one is the founder (package birth).
	Members []raft.NodeID
	// NameOf is what a member is called in errors.
	NameOf func(raft.NodeID) string
}

// Config says which directory, and whose.
type Config struct {
	Path  string
	Owner Owner
	// MustExist refuses an empty directory with ErrEmpty.
	MustExist bool
	// Log are the options of the log. Its FS is that of the whole directory.
	Log wal.Options
}

// Dir is a data directory in use.
type Dir struct {
	cfg  Config
	fs   vfs.FS
	lock io.Closer
	// Members is the file MEMBERS.
	Members *MemberFile
	log     atomic.Pointer[wal.Log]
}

// Open opens the directory, or makes one where there is none. A directory that is
// another member's, or not in order, is left as it is.
func Open(cfg Config) (*Dir, error) {
	if cfg.Log.FS == nil {
		cfg.Log.FS = vfs.OS
	}
	d := &Dir{cfg: cfg, fs: cfg.Log.FS}
	if err := d.inspect(); err != nil {
		return nil, err
	}
	if err := vfs.MakeDir(d.fs, cfg.Path); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	var err error
	d.lock, err = d.fs.Lock(filepath.Join(cfg.Path, LockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%w: %s: another process runs on it (%w)", ErrInUse, cfg.Path, err)
	} else if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// inspect refuses a directory that cannot be the owner's. It changes nothing.
func (d *Dir) inspect() error {
	path := d.cfg.Path
	names, err := d.fs.List(path)
	if errors.Is(err, fs.ErrNotExist) {
		names = nil
	} else if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	if slices.Contains(names, divergedName) {
		return fmt.Errorf("%w: %s holds a file %s, so it was written by such a replica; it must be rebuilt, and must not be used any more",
			rsm.ErrDiverged, path, divergedName)
	}
	members, err := OpenMemberFile(d.fs, path, d.cfg.Owner)
	if err != nil || members != nil {
		return err
	}
	// lost+found is of a mounted file system, and fixtures has certificates of the member's own making.
	ours := []string{LockName, memberFileName + vfs.TempSuffix, "lost+found", "fixtures"}
	if d.cfg.Owner.Origin != (birth.Origin{}) && !d.cfg.Owner.Joins {
		ours = append(ours, stateName)
	}
	strange := func(name string) bool { return !slices.Contains(ours, name) }
	switch i := slices.IndexFunc(names, strange); {
	case slices.Contains(names, walName):
		return fmt.Errorf("%w: %s holds a log, but its %s file is missing", ErrDamaged, path, memberFileName)
	case i >= 0:
		return fmt.Errorf("%w: %s holds %q, which is not balsa's; name an empty or a new directory", ErrForeign, path, names[i])
	case d.cfg.MustExist:
		return fmt.Errorf("%w: %s", ErrEmpty, path)
	}
	return nil
}

// open opens the files of the locked directory, and makes what is missing in a new one.
func (d *Dir) open() (err error) {
	if d.Members, err = OpenMemberFile(d.fs, d.cfg.Path, d.cfg.Owner); err != nil {
		return err
	}
	if d.Members == nil {
		var incarnation birth.Incarnation
		rand.Read(incarnation[:])
		if d.Members, err = CreateMemberFile(d.fs, d.cfg.Path, d.cfg.Owner, incarnation); err != nil {
			return err
		}
	}
	if d.Members.Record().Certificate == nil {
		return nil
	}
	return d.OpenLog()
}

// Log is the member's log; nil before OpenLog.
func (d *Dir) Log() *wal.Log { return d.log.Load() }

// OpenLog opens the log, and makes it if the cluster has just begun. Before it exists
// this member has promised nothing; from then on it takes part.
func (d *Dir) OpenLog() error {
	path := filepath.Join(d.cfg.Path, walName)
	identity := d.Members.Identity()
	exists, err := wal.Exists(d.fs, path)
	if err != nil {
		return fmt.Errorf("look for log: %w", err)
	}
	if !exists {
		if d.Members.Active() {
			return fmt.Errorf("%w: the log in %s is missing", ErrDamaged, path)
		}
		if err := wal.Create(path, d.cfg.Log, identity, d.Members.Beginning()); err != nil {
			return err
		}
	}
	log, err := wal.Open(path, d.cfg.Log, identity)
	if err != nil {
		return err
	}
	d.log.Store(log)
	if have, want := log.Identity().Incarnation, identity.Incarnation; have != want {
		return fmt.Errorf("%w: the log in %s is not the one that belongs to %s beside it", ErrDamaged, path, memberFileName)
	}
	return d.Members.Activate()
}

// Condemn marks the directory as one that must not be used any more.
func (d *Dir) Condemn(why error) error {
	return vfs.WriteFile(d.fs, filepath.Join(d.cfg.Path, divergedName), []byte(why.Error()+"\n"))
}

// Stats describes the log; zero before there is one.
func (d *Dir) Stats() wal.Stats {
	if log := d.log.Load(); log != nil {
		return log.Stats()
	}
	return wal.Stats{}
}

// Close closes the log and lets the directory go.
func (d *Dir) Close() error {
	var err error
	if log := d.log.Load(); log != nil {
		err = log.Close()
	}
	return errors.Join(err, d.lock.Close())
}
