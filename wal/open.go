package wal

import (
	"errors"
	"fmt"
	"io"

	"balsa.example/raft"
)

// Open opens the log in dir, made by Create. The incarnation in id is not looked
// at; Log.Identity tells it. Open verifies the newest snapshot and all of the log
// before it changes anything: of a damaged one it returns a *CorruptionError, of a
// wrong one an *IdentityError. What depends on a state machine's own state
// (Options.NoSnapshots) is checked by Load.
func Open(dir string, opts Options, id Identity) (*Log, error) {
	opts = opts.withDefaults()
	if ok, err := Exists(opts.FS, dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	} else if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotCreated, dir)
	}
	fsys, close := opts.gradual(dir)
	d, err := openDirectory(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	unlock, err := d.lock()
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	l := newLog(d, opts, unlock)
	l.endRemovals = close
	if err := l.recover(id); err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), l.release())
	}
	l.background.start()
	l.background.wake() // there may be segments to remove
	return l, nil
}

// recover reads the directory, and then repairs what a crash left behind.
func (l *Log) recover(want Identity) error {
	var err error
	if l.id, err = l.dir.readIdentity(want); err != nil {
		return err
	}
	files, err := l.dir.list()
	if err != nil {
		return err
	}
	r, meta, size, err := l.dir.replay(l.id, files)
	if err != nil {
		return err
	}
	newest := meta.Index
	if l.opts.NoSnapshots && newest > 0 {
		return fmt.Errorf("%s holds a snapshot of index %d, and Options.NoSnapshots says that there are none", l.dir.path, newest)
	}
	if !l.opts.NoSnapshots {
		if _, _, err := r.after(meta); err != nil {
			return &CorruptionError{File: l.dir.join(snapshotName(newest)), Reason: err.Error()}
		}
	}
	l.live.set(r.segments, r.pos.compacted)
	l.snapshots.setNewest(snapshotInfo{index: newest, size: size})
	if err := l.repair(r, files); err != nil {
		return err
	}
	if !l.opts.NoSnapshots {
		if _, err := begin(r, meta, l.writer); err != nil {
			return err
		}
	}
	l.loader.set(r, meta)
	return nil
}

// replay reads the newest snapshot and all segments, and checks them. It changes nothing.
func (d *directory) replay(id Identity, files listing) (r *replay, newest raft.SnapshotMeta, size int64, err error) {
	if len(files.snapshots) == 0 {
		return nil, newest, 0, &CorruptionError{File: d.path, Reason: "there is no snapshot"}
	}
	newest, size, err = d.verifySnapshot(id, files.snapshots[len(files.snapshots)-1])
	if err != nil {
		return nil, newest, 0, err
	}
	r = &replay{dir: d, id: id}
	return r, newest, size, r.run(files.segments)
}

// readHeader reads whose log this is.
func (d *directory) readHeader() (header, error) {
	b, err := d.read(identityName)
	if err != nil {
		return header{}, err
	}
	h, err := decodeHeader(d.join(identityName), identityMagic, b)
	if err == nil && len(b) != headerSize {
		err = &CorruptionError{File: d.join(identityName), Offset: headerSize, Reason: "data after the header"}
	}
	return h, err
}

func (d *directory) readIdentity(want Identity) (Identity, error) {
	h, err := d.readHeader()
	if err != nil {
		return Identity{}, err
	}
	if h.ClusterID != want.ClusterID || h.NodeID != want.NodeID {
		return Identity{}, &IdentityError{Dir: d.path, Want: want, Have: h.Identity}
	}
	return h.Identity, nil
}

// repair is the part of recovery that writes. A crash in the midst of it leaves
// what the next recovery can read as well as this one could.
func (l *Log) repair(r *replay, files listing) error {
	current, err := l.reopen(r)
	if err != nil {
		return err
	}
	if r.torn {
		l.opts.Logger.Info("cut off a write that a crash interrupted",
			"file", l.dir.join(segmentName(current.seq)), "offset", current.used)
		if err := current.wipe(); err != nil {
			return err
		}
	}
	if err := l.rewrite(r.lastFrame, current); err != nil {
		return err
	}
	// A snapshot may have got its name just before the crash.
	if err := l.dir.sync(); err != nil {
		return err
	}
	for _, name := range files.temps {
		if l.spare.adopt(name) {
			continue
		}
		if err := l.dir.remove(name); err != nil {
			return err
		}
	}
	for _, index := range files.snapshots[:len(files.snapshots)-1] {
		if err := l.dir.remove(snapshotName(index)); err != nil {
			return err
		}
	}
	return nil
}

// reopen opens the segment where the log ends, and the one prepared behind it.
func (l *Log) reopen(r *replay) (current *segment, err error) {
	if current, err = l.dir.openSegment(r.tail.header, r.tail.begin, r.tail.used, r.tail.size); err != nil {
		return nil, err
	}
	l.writer.set(r.pos, r.seq, current)
	var next *segment
	if r.spare != nil {
		if next, err = l.dir.openSegment(r.spare.header, r.spare.begin, r.spare.used, r.spare.size); err != nil {
			return nil, err
		}
	}
	l.spare.set(current.seq, next)
	return current, nil
}

// rewrite writes the last frame again, in its place, and syncs it. If the program
// was killed, or a sync failed, between its write and its sync, then what was read
// may be in memory only, and a plain sync of pages that once failed to be written
// may do nothing.
func (l *Log) rewrite(s span, current *segment) error {
	file := current.file
	if s.seq != current.seq {
		var err error
		if file, err = l.dir.fs.OpenReadWrite(l.dir.join(segmentName(s.seq))); err != nil {
			return fmt.Errorf("open segment: %w", err)
		}
		defer file.Close()
	}
	b := make([]byte, s.end-s.off)
	if _, err := io.ReadFull(io.NewSectionReader(file, s.off, s.end-s.off), b); err != nil {
		return fmt.Errorf("read segment %d: %w", s.seq, err)
	}
	if _, err := file.WriteAt(b, s.off); err != nil {
		return fmt.Errorf("rewrite segment %d: %w", s.seq, err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync segment %d: %w", s.seq, err)
	}
	return nil
}
