package wal

import (
	"errors"
	"fmt"

	"balsa.example/raft"
	"balsa.example/vfs"
)

// Found is what a log holds, as Inspect has read it.
type Found struct {
	Identity  Identity
	HardState raft.HardState
	// Beginning has the configuration that the log was created with, or is the newest snapshot.
	Beginning raft.SnapshotMeta
	// Compacted is the index up to which entries may be gone, and Last and LastTerm are those of the last
	// entry, or of the state behind which the log was begun anew.
	Compacted, Last raft.Index
	LastTerm        raft.Term
	// Torn tells that the log ends with a write that a crash interrupted, which Open cuts off.
	Torn bool

	replay *replay
}

// Inspect reads and checks all of the log in a directory, as Open does, and changes nothing. No process may
// have it open. The error is ErrNotCreated where there is none, and a *CorruptionError where it is damaged.
func Inspect(fsys vfs.FS, dir string) (*Found, error) {
	if ok, err := Exists(fsys, dir); err != nil {
		return nil, fmt.Errorf("inspect log: %w", err)
	} else if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotCreated, dir)
	}
	d, err := openDirectory(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("inspect log: %w", err)
	}
	f, err := inspect(d)
	if err = errors.Join(err, d.close()); err != nil {
		return nil, fmt.Errorf("inspect log: %w", err)
	}
	return f, nil
}

func inspect(d *directory) (*Found, error) {
	f := &Found{}
	h, err := d.readHeader()
	if err != nil {
		return nil, err
	}
	f.Identity = h.Identity
	files, err := d.list()
	if err != nil {
		return nil, err
	}
	if f.replay, f.Beginning, _, err = d.replay(f.Identity, files); err != nil {
		return nil, err
	}
	pos := f.replay.pos
	f.HardState, f.Compacted, f.Last, f.LastTerm, f.Torn = pos.hard, pos.compacted, pos.last, pos.lastTerm, f.replay.torn
	return f, nil
}

// After returns the entries that follow a durable state, and whether the log leads up to it. Where it does not,
// because the state is ahead of it or the log has other entries, the state counts and there are none: see
// rsm.Log. It is an error if entries between the state and the log are gone.
func (f *Found) After(from raft.SnapshotMeta) (entries []raft.Entry, leadsUp bool, err error) {
	if from.Index == 0 {
		from = f.Beginning
	}
	entries, contradicts, err := f.replay.after(from)
	return entries, !contradicts, err
}
