package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/internal/wal"
	"balsa/raft"
)

// ErrInUse: another process uses the data directory.
var ErrInUse = errors.New("data directory is in use")

// The names in a data directory, besides ledgerName.
const (
	lockName = "LOCK"
	walName  = "wal"
)

// home is a data directory in use.
//
//	LOCK      held while a process uses the directory
//	MEMBERS   who this server is and whom it has met (Ledger)
//	wal/      the log and the snapshots (package wal)
type home struct {
	dir    string
	lock   io.Closer
	ledger *Ledger
	log    *wal.Log
}

// openHome opens the data directory of a member, or makes one where there is none.
// A directory that is not this member's, or not in order, is left as it is.
func openHome(cfg Config, self Member) (*home, error) {
	if err := inspect(cfg, self); err != nil {
		return nil, err
	}
	if err := makeDir(cfg.FS, cfg.DataDir); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := cfg.FS.Lock(cfg.FS.PathJoin(cfg.DataDir, lockName))
	if errors.Is(err, iofs.ErrPermission) {
		return nil, fmt.Errorf("lock data directory: %w", err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: %s: another process runs on it (%w)", ErrInUse, cfg.DataDir, err)
	}
	h := &home{dir: cfg.DataDir, lock: lock}
	if err := h.open(cfg, self); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// inspect refuses a directory that cannot be this member's, touching nothing.
func inspect(cfg Config, self Member) error {
	names, err := cfg.FS.List(cfg.DataDir)
	if errors.Is(err, iofs.ErrNotExist) {
		names = nil
	} else if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	ledger, err := OpenLedger(cfg.FS, cfg.DataDir, cfg.Cluster.ID, self.ID)
	if err != nil || ledger != nil {
		return err
	}
	ours := []string{lockName, ledgerName + tempSuffix, "lost+found"} // the last is of a mounted file system
	strange := func(name string) bool { return !slices.Contains(ours, name) }
	switch i := slices.IndexFunc(names, strange); {
	case slices.Contains(names, walName):
		return fmt.Errorf("%w: %s holds a log, but its %s file is missing", ErrDamaged, cfg.DataDir, ledgerName)
	case i >= 0:
		return fmt.Errorf("%w: %s holds %q, which is not balsa's; name an empty or a new directory", ErrForeign, cfg.DataDir, names[i])
	case cfg.Join:
		return fmt.Errorf("%w: initial cluster state is \"existing\", but %s is empty: adding members to a running cluster is not supported yet",
			ErrConfig, cfg.DataDir)
	}
	return nil
}

// open opens what is in the locked directory, and makes what is missing in a new one.
func (h *home) open(cfg Config, self Member) (err error) {
	if h.ledger, err = OpenLedger(cfg.FS, h.dir, cfg.Cluster.ID, self.ID); err != nil {
		return err
	}
	if h.ledger == nil {
		id := wal.Identity{ClusterID: cfg.Cluster.ID, NodeID: self.ID}
		rand.Read(id.Incarnation[:])
		if h.ledger, err = CreateLedger(cfg.FS, h.dir, id); err != nil {
			return err
		}
	}
	path := cfg.FS.PathJoin(h.dir, walName)
	options := wal.Options{FS: cfg.FS, Logger: cfg.Logger, SegmentSize: cfg.segmentSize, OnSync: cfg.onSync}
	exists, err := wal.Exists(cfg.FS, path)
	if err != nil {
		return fmt.Errorf("look for log: %w", err)
	}
	if !exists {
		// Until it is active a server has promised nothing, so there is nothing that an
		// empty log could have forgotten.
		if h.ledger.Active() {
			return fmt.Errorf("%w: the log in %s is missing", ErrDamaged, path)
		}
		conf := raft.NewConfiguration(cfg.Cluster.IDs()...)
		if err := wal.Create(path, options, h.ledger.Identity(), conf); err != nil {
			return err
		}
	}
	if h.log, err = wal.Open(path, options, h.ledger.Identity()); err != nil {
		return err
	}
	if have, want := h.log.Identity().Incarnation, h.ledger.Identity().Incarnation; have != want {
		return fmt.Errorf("%w: the log in %s is of incarnation %x, and %s of %x", ErrDamaged, path, have, ledgerName, want)
	}
	return nil
}

// close lets the directory go.
func (h *home) close() error {
	var err error
	if h.log != nil {
		err = h.log.Close()
	}
	return errors.Join(err, h.lock.Close())
}

// makeDir makes a directory, parents included, that survives a crash. The name of one
// that is there may not be durable yet: its maker may have been killed.
func makeDir(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	if _, err := fs.Stat(dir); err == nil {
		err := syncDir(fs, parent)
		if errors.Is(err, iofs.ErrPermission) {
			return nil // then it was made by somebody else
		}
		return err
	}
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}
