package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"balsa.example/raft"
	"balsa.example/vfs"
)

// snapshots keeps the snapshot files, of which the newest counts.
type snapshots struct {
	*base

	// namesMu is held while snapshot files get or lose their names.
	namesMu sync.Mutex
	urgent  atomic.Bool // see ExpediteSnapshots

	mu struct { // held for no I/O
		sync.Mutex
		newest snapshotInfo
	}
}

type snapshotInfo struct {
	index raft.Index
	size  int64
}

// stop returns when no file gets or loses its name any more. The log is closed by then.
func (s *snapshots) stop() {
	s.namesMu.Lock()
	defer s.namesMu.Unlock()
}

// newest describes the newest snapshot.
func (s *snapshots) newest() snapshotInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.newest
}

func (s *snapshots) setNewest(info snapshotInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.newest = info
}

// save is SaveSnapshot.
func (s *snapshots) save(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	if err := s.failure.get(); err != nil {
		return err
	}
	if s.opts.NoSnapshots {
		return fmt.Errorf("wal: save snapshot %s: Options.NoSnapshots says that there are none", meta)
	}
	if meta.Index <= s.newest().index {
		return nil
	}
	salt, err := drawSalt(s.opts.Rand)
	if err != nil {
		return fmt.Errorf("wal: save snapshot %s: %w", meta, err)
	}
	// Each call has its own temporary file, since write may take as long as it likes: also longer than this log is open,
	// and another one of the same directory writes the same snapshot.
	temp := fmt.Sprintf("%016x-%016x%s%s", uint64(meta.Index), salt, snapshotSuffix, vfs.TempSuffix)
	size, err := s.dir.writeSnapshot(temp, salt, s.id, meta, s.isUrgent, write)
	if err == nil {
		err = s.install(temp, snapshotInfo{index: meta.Index, size: size})
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, errDirectoryInDoubt) {
		return s.base.stop(err)
	}
	if removeErr := s.dir.remove(temp); removeErr != nil {
		s.opts.Logger.Warn("cannot remove a temporary file", "dir", s.dir.path, "err", removeErr)
	}
	return fmt.Errorf("wal: save snapshot %s: %w", meta, err)
}

func (s *snapshots) isUrgent() bool { return s.urgent.Load() || s.opts.Inline }

// install makes the finished file temp the newest snapshot, and removes the one before.
func (s *snapshots) install(temp string, info snapshotInfo) error {
	s.namesMu.Lock()
	defer s.namesMu.Unlock()
	if err := s.failure.get(); err != nil {
		return err
	}
	before := s.newest().index
	if info.index <= before { // another call was faster
		return s.dir.remove(temp)
	}
	if err := s.dir.publish(temp, snapshotName(info.index)); err != nil {
		return err
	}
	s.setNewest(info)
	s.remove(before)
	return nil
}

// remove removes a snapshot that is not the newest any more. Its readers go on to read it.
func (s *snapshots) remove(index raft.Index) {
	if err := s.dir.remove(snapshotName(index)); err != nil {
		s.opts.Logger.Warn("cannot remove an old snapshot", "dir", s.dir.path, "err", err)
	}
}

// open is OpenSnapshot.
func (s *snapshots) open() (raft.SnapshotMeta, io.ReadCloser, error) {
	s.namesMu.Lock() // so that the newest is not removed before it is open
	defer s.namesMu.Unlock()
	if err := s.failure.get(); err != nil {
		return raft.SnapshotMeta{}, nil, err
	}
	index := s.newest().index
	meta, r, err := s.dir.openSnapshot(s.id, index)
	if err != nil {
		return raft.SnapshotMeta{}, nil, fmt.Errorf("wal: open snapshot: %w", err)
	}
	return meta, r, nil
}

// writeSnapshot writes the file temp, all of it durable but its name.
func (d *directory) writeSnapshot(temp string, salt uint64, id Identity, meta raft.SnapshotMeta,
	urgent func() bool, write func(io.Writer) error) (size int64, err error) {
	f, err := d.fs.Create(d.join(temp))
	if err != nil {
		return 0, fmt.Errorf("create: %w", err)
	}
	h := header{magic: snapshotMagic, Identity: id, number: uint64(meta.Index), salt: salt}
	w := newSnapshotWriter(f, h, meta, urgent)
	if write != nil {
		err = write(w)
	}
	if err == nil {
		err = w.finish()
	}
	return w.size, errors.Join(err, f.Close())
}

// openSnapshot opens the snapshot of the given index.
func (d *directory) openSnapshot(id Identity, index raft.Index) (raft.SnapshotMeta, *snapshotReader, error) {
	file := d.join(snapshotName(index))
	f, err := d.fs.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return raft.SnapshotMeta{}, nil, &CorruptionError{File: file, Reason: "the file is missing"}
	} else if err != nil {
		return raft.SnapshotMeta{}, nil, err
	}
	r, meta, err := newSnapshotReader(f, file, id, index)
	if err != nil {
		return raft.SnapshotMeta{}, nil, errors.Join(err, f.Close())
	}
	return meta, r, nil
}

// verifySnapshot reads all of a snapshot.
func (d *directory) verifySnapshot(id Identity, index raft.Index) (meta raft.SnapshotMeta, size int64, err error) {
	meta, r, err := d.openSnapshot(id, index)
	if err != nil {
		return meta, 0, err
	}
	if _, err = io.Copy(io.Discard, r); err == nil {
		var info fs.FileInfo
		if info, err = d.fs.Stat(d.join(snapshotName(index))); err == nil {
			size = info.Size()
		}
	}
	return meta, size, errors.Join(err, r.Close())
}
