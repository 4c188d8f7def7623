package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"balsa.example/raft"
	"balsa.example/vfs"
)

// SaveSnapshot stores the snapshot whose data write produces. It may be called
// while Save, or another SaveSnapshot, is under way. At or below the index of the
// newest snapshot it returns nil, maybe without a call to write. If the disk is
// full or write fails, nothing has changed and the log goes on.
func (l *Log) SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	if err := l.usable(); err != nil {
		return err
	}
	if meta.Index <= l.newest() {
		return nil
	}
	// Each call has its own temporary file, since write may take as long as it likes.
	temp := fmt.Sprintf("%016x-%d%s%s", uint64(meta.Index), l.tempNumber.Add(1), snapshotSuffix, vfs.TempSuffix)
	size, err := l.dir.writeSnapshot(temp, l.opts, l.id, meta, l.snapshotsUrgent, write)
	if err == nil {
		err = l.install(temp, snapshotInfo{index: meta.Index, size: size})
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, errDirectoryInDoubt) {
		return l.fail(err)
	}
	if removeErr := l.dir.remove(temp); removeErr != nil {
		l.opts.Logger.Warn("cannot remove a temporary file", "dir", l.dir.path, "err", removeErr)
	}
	return fmt.Errorf("wal: save snapshot %s: %w", meta, err)
}

// ExpediteSnapshots is rsm.Expediter's: urgent snapshots are written without rests, those
// that are being written already too.
func (l *Log) ExpediteSnapshots(urgent bool) { l.urgent.Store(urgent) }

func (l *Log) snapshotsUrgent() bool { return l.urgent.Load() || l.opts.Inline }

func (l *Log) newest() raft.Index {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snapshot.index
}

// install makes the finished file temp the newest snapshot, and removes the one before.
func (l *Log) install(temp string, s snapshotInfo) error {
	l.installing.Lock()
	defer l.installing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	before := l.newest()
	if s.index <= before { // another call was faster
		return l.dir.remove(temp)
	}
	if err := l.dir.publish(temp, snapshotName(s.index)); err != nil {
		return err
	}
	l.mu.Lock()
	l.snapshot = s
	l.mu.Unlock()
	return l.removeSnapshot(before)
}

// removeSnapshot removes one that is not the newest any more. Only a directory in doubt
// is an error.
func (l *Log) removeSnapshot(index raft.Index) error {
	l.mu.Lock()
	read := l.readers[index] > 0 // who has it open goes on to read it
	l.mu.Unlock()
	var temp string
	var err error
	if read {
		err = l.dir.remove(snapshotName(index))
	} else {
		temp, err = l.retire(snapshotName(index))
	}
	if err != nil {
		l.opts.Logger.Warn("cannot remove an old snapshot", "dir", l.dir.path, "err", err)
	}
	if temp == "" {
		return nil
	}
	if err := l.dir.sync(); err != nil {
		return err
	}
	l.shrink(temp)
	return nil
}

// OpenSnapshot opens the newest snapshot. The reader verifies what it reads: of a
// damaged file it returns a *CorruptionError, and only the io.EOF at the end says
// that all was well. It is not affected by newer snapshots, nor by Close.
func (l *Log) OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error) {
	l.installing.Lock() // so that the newest is not removed before it is open
	defer l.installing.Unlock()
	if err := l.usable(); err != nil {
		return raft.SnapshotMeta{}, nil, err
	}
	index := l.newest()
	meta, r, err := l.dir.openSnapshot(l.id, index)
	if err != nil {
		return raft.SnapshotMeta{}, nil, fmt.Errorf("wal: open snapshot: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers[index]++
	return meta, &countedReader{snapshotReader: r, log: l, index: index}, nil
}

// countedReader is a snapshotReader that its Log knows of.
type countedReader struct {
	*snapshotReader
	log   *Log
	index raft.Index
	once  sync.Once
}

// Close ends the reading. It may be called more than once.
func (r *countedReader) Close() error {
	r.once.Do(func() {
		r.log.mu.Lock()
		defer r.log.mu.Unlock()
		if r.log.readers[r.index]--; r.log.readers[r.index] == 0 {
			delete(r.log.readers, r.index)
		}
	})
	return r.snapshotReader.Close()
}

// writeSnapshot writes the file temp, all of it durable but its name.
func (d *directory) writeSnapshot(temp string, opts Options, id Identity, meta raft.SnapshotMeta,
	urgent func() bool, write func(io.Writer) error) (size int64, err error) {
	salt, err := drawSalt(opts.Rand)
	if err != nil {
		return 0, err
	}
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
