package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"balsa.example/raft"
	"balsa.example/vfs"
)

// Exists tells whether dir holds a log that Open would open.
func Exists(fsys vfs.FS, dir string) (bool, error) {
	_, err := fsys.Stat(filepath.Join(dir, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Create makes the log of a new node in dir, which is made too if need be: no
// entries, and a snapshot at index 0 that holds conf. After an error or a crash
// Create can be called again: there is no log, or, if the crash came at the very end, the
// whole log. Create returns ErrExists rather than touch files of a log.
func Create(dir string, opts Options, id Identity, conf raft.Configuration) (err error) {
	opts = opts.withDefaults()
	if id.NodeID == raft.None {
		return errors.New("wal: create: the node has no id")
	}
	if err := vfs.MakeDir(opts.FS, dir); err != nil {
		return fmt.Errorf("wal: create: %w", err)
	}
	d, err := openDirectory(opts.FS, dir)
	if err != nil {
		return fmt.Errorf("wal: create: %w", err)
	}
	lock, err := d.lock()
	if err != nil {
		return errors.Join(err, d.close())
	}
	defer func() { err = errors.Join(err, d.close(), lock.Close()) }()
	if err := d.clear(); err != nil {
		return err
	}
	if err := d.populate(opts, id, conf); err != nil {
		return fmt.Errorf("wal: create: %w", err)
	}
	return nil
}

// clear removes what an interrupted Create left behind, and refuses anything else.
// While a Create is at work, and only then, there is IDENTITY.tmp and no IDENTITY.
func (d *directory) clear() error {
	l, err := d.list()
	if err != nil {
		return fmt.Errorf("wal: create: %w", err)
	}
	files := len(l.segments) + len(l.snapshots) + len(l.temps)
	switch {
	case l.identity:
		return fmt.Errorf("%w: %s", ErrExists, d.path)
	case files == 0:
		return nil
	case !l.identityTemp:
		return fmt.Errorf("%w, but without the file %s: %s", ErrExists, identityName, d.path)
	}
	var names []string
	for _, seq := range l.segments {
		names = append(names, segmentName(seq))
	}
	for _, index := range l.snapshots {
		names = append(names, snapshotName(index))
	}
	for _, name := range l.temps {
		if name != identityName+vfs.TempSuffix {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if err := d.remove(name); err != nil {
			return fmt.Errorf("wal: create: %w", err)
		}
	}
	return d.sync() // before IDENTITY.tmp is touched
}

func (d *directory) populate(opts Options, id Identity, conf raft.Configuration) error {
	if err := d.writeTemp(identityName, header{magic: identityMagic, Identity: id}.encode()); err != nil {
		return err
	}
	if err := d.sync(); err != nil {
		return err
	}
	if err := d.createFirstSegment(opts, id); err != nil {
		return err
	}
	meta := raft.SnapshotMeta{Configuration: conf}
	temp := snapshotName(0) + vfs.TempSuffix
	salt, err := drawSalt(opts.Rand)
	if err != nil {
		return err
	}
	if _, err := d.writeSnapshot(temp, salt, id, meta, always, nil); err != nil {
		return err
	}
	if err := d.publish(temp, snapshotName(0)); err != nil {
		return err
	}
	return d.publish(identityName+vfs.TempSuffix, identityName)
}

// createFirstSegment writes segment 1. Its one frame is the checkpoint of an empty log.
func (d *directory) createFirstSegment(opts Options, id Identity) error {
	h, err := newSegmentHeader(id, 1, opts.Rand)
	if err != nil {
		return err
	}
	frame := newStamp(h.salt, 1).finish(appendCheckpoint(make([]byte, frameHeaderSize), position{}), 1)
	if err := d.writeTemp(segmentName(1), append(h.encode(), frame...)); err != nil {
		return err
	}
	return d.publish(segmentName(1)+vfs.TempSuffix, segmentName(1))
}
