package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"

	"balsa.example/internal/birth"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// Found is what a data directory says of itself, as Inspect has read it.
type Found struct {
	Name     string // of the member; empty in directories of format 2
	Token    string
	Identity wal.Identity // ClusterID is 0 before the cluster has begun
	Origin   birth.Origin
	// Active tells whether the member may have taken part, and Joining that it waits to be a member.
	Active, Joining bool
	// Diverged is the content of the file DIVERGED, empty if there is none.
	Diverged string
}

// Inspect reads the MEMBERS of a data directory, whoever it belongs to, and changes nothing. It returns nil
// if there is none. The error is ErrDamaged, ErrNewerFormat or ErrOlderFormat.
func Inspect(fsys vfs.FS, path string) (*Found, error) {
	data, err := vfs.ReadFile(fsys, filepath.Join(path, memberFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	f, err := parseMemberFile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(path, memberFileName), err)
	}
	r := f.record
	found := &Found{Name: f.name, Token: f.token, Active: f.active, Joining: f.joining, Identity: wal.Identity{NodeID: r.Self, Incarnation: r.Incarnation}}
	if c := r.Certificate; c != nil {
		found.Identity.ClusterID, found.Origin = c.Cluster, c.Origin
	}
	found.Diverged, err = Diverged(fsys, path)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Diverged returns the content of the file DIVERGED, whatever else is in a directory; empty if there is none.
func Diverged(fsys vfs.FS, path string) (why string, err error) {
	b, err := vfs.ReadFile(fsys, filepath.Join(path, divergedName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// Hold keeps servers from starting on a directory while it is read: what one writes meanwhile would look like damage. It
// makes no file: a directory without LOCK has no server, as a copy that leaves it out, and nothing is held of it. unheld tells
// why a LOCK that is there cannot be held, on a full or a failing disk, say: what is there may be read all the same. The error
// is ErrInUse where another process has the lock, or that this process has no descriptors.
func Hold(fsys vfs.FS, path string) (release func(), unheld, err error) {
	name := filepath.Join(path, LockName)
	if _, err := fsys.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil, nil
	}
	lock, err := fsys.Lock(name)
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return nil, nil, fmt.Errorf("%w: %s", ErrInUse, path)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return nil, nil, fmt.Errorf("lock %s: %w", path, err)
	case err != nil:
		return func() {}, err, nil
	}
	return sync.OnceFunc(func() { _ = lock.Close() }), nil, nil // after it the file is another's
}

// Reserve locks a directory that is no member's yet, for a command that writes to it what a member is to begin with: no
// server starts on it, and no other command writes to it. A directory that is missing is made. release undoes both,
// unless something was written. The error is ErrInUse where another process has the lock.
func Reserve(fsys vfs.FS, path string) (release func(), err error) {
	_, missing := fsys.Stat(path)
	if err := vfs.MakeDir(fsys, path); err != nil {
		return nil, err
	}
	name := filepath.Join(path, LockName)
	lock, err := fsys.Lock(name)
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	} else if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() {
		_ = fsys.Remove(name) // while it is held. One that stays is in nobody's way
		_ = lock.Close()
		if missing != nil {
			_ = fsys.Remove(path) // if it is empty
		}
	}, nil
}
