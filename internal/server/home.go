package server

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
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// ErrInUse: another process uses the data directory.
var ErrInUse = errors.New("data directory is in use")

// The names in a data directory, besides ledgerName.
const (
	lockName     = "LOCK"
	walName      = "wal"
	divergedName = "DIVERGED"
)

// home is a data directory in use.
//
//	LOCK      held while a process uses the directory
//	MEMBERS   who this server is, and the certificate of its cluster (Ledger)
//	wal/      the log and the snapshots (package wal), once the cluster is born
//	DIVERGED  is there when this server's state was found to differ from that of a majority: what
//	          the directory holds is not to be trusted
type home struct {
	cfg    Config
	dir    string
	lock   io.Closer
	ledger *Ledger
	log    atomic.Pointer[wal.Log] // nil before the cluster is born
}

// openHome opens the data directory of a member, or makes one where there is none.
// A directory that is not this member's, or not in order, is left as it is.
func openHome(cfg Config, self Member) (*home, error) {
	if err := inspect(cfg, self); err != nil {
		return nil, err
	}
	if err := vfs.MakeDir(cfg.FS, cfg.DataDir); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := cfg.FS.Lock(filepath.Join(cfg.DataDir, lockName))
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("lock data directory: %w", err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: %s: another process runs on it (%w)", ErrInUse, cfg.DataDir, err)
	}
	h := &home{cfg: cfg, dir: cfg.DataDir, lock: lock}
	if err := h.open(self); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// inspect refuses a directory that cannot be this member's, touching nothing.
func inspect(cfg Config, self Member) error {
	names, err := cfg.FS.List(cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		names = nil
	} else if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	if slices.Contains(names, divergedName) {
		return fmt.Errorf("%w: %s holds a file %s, so it was written by such a replica; it must be rebuilt, and must not be used any more",
			rsm.ErrDiverged, cfg.DataDir, divergedName)
	}
	ledger, err := OpenLedger(cfg.FS, cfg.DataDir, cfg.Cluster, self.ID)
	if err != nil || ledger != nil {
		return err
	}
	ours := []string{lockName, ledgerName + vfs.TempSuffix, "lost+found"} // the last is of a mounted file system
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
func (h *home) open(self Member) (err error) {
	if h.ledger, err = OpenLedger(h.cfg.FS, h.dir, h.cfg.Cluster, self.ID); err != nil {
		return err
	}
	if h.ledger == nil {
		var incarnation birth.Incarnation
		rand.Read(incarnation[:])
		if h.ledger, err = CreateLedger(h.cfg.FS, h.dir, h.cfg.Cluster, self.ID, incarnation); err != nil {
			return err
		}
	}
	if h.ledger.Record().Certificate == nil {
		return nil
	}
	return h.openLog()
}

// openLog opens the log, which is made when the cluster is born. Before it is there this
// server has promised nothing; from then on it takes part.
func (h *home) openLog() error {
	path := filepath.Join(h.dir, walName)
	options := wal.Options{FS: h.cfg.FS, Logger: h.cfg.Logger, SegmentSize: h.cfg.segmentSize, OnSync: h.cfg.onSync}
	identity := h.ledger.Identity()
	exists, err := wal.Exists(h.cfg.FS, path)
	if err != nil {
		return fmt.Errorf("look for log: %w", err)
	}
	if !exists {
		if h.ledger.Active() {
			return fmt.Errorf("%w: the log in %s is missing", ErrDamaged, path)
		}
		conf := raft.NewConfiguration(h.cfg.Cluster.IDs()...)
		if err := wal.Create(path, options, identity, conf); err != nil {
			return err
		}
	}
	log, err := wal.Open(path, options, identity)
	if err != nil {
		return err
	}
	h.log.Store(log)
	if have, want := log.Identity().Incarnation, identity.Incarnation; have != want {
		return fmt.Errorf("%w: the log in %s is not the one that belongs to %s beside it", ErrDamaged, path, ledgerName)
	}
	return h.ledger.Activate()
}

// condemn marks the directory as one that must not be used any more.
func (h *home) condemn(why error) error {
	return vfs.WriteFile(h.cfg.FS, filepath.Join(h.dir, divergedName), []byte(why.Error()+"\n"))
}

// stats describes the log; zero before there is one.
func (h *home) stats() wal.Stats {
	if log := h.log.Load(); log != nil {
		return log.Stats()
	}
	return wal.Stats{}
}

// close lets the directory go.
func (h *home) close() error {
	var err error
	if log := h.log.Load(); log != nil {
		err = log.Close()
	}
	return errors.Join(err, h.lock.Close())
}
