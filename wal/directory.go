package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"balsa.example/raft"
	"balsa.example/vfs"
)

const (
	lockName       = "LOCK"
	identityName   = "IDENTITY"
	segmentSuffix  = ".log"
	snapshotSuffix = ".snap"
)

// segmentName is the name of segment seq: 16 hexadecimal digits, .log.
func segmentName(seq uint64) string { return fmt.Sprintf("%016x%s", seq, segmentSuffix) }

// snapshotName is the name of the snapshot of index: 16 hexadecimal digits, .snap.
func snapshotName(index raft.Index) string {
	return fmt.Sprintf("%016x%s", uint64(index), snapshotSuffix)
}

// parseName is the inverse of both.
func parseName(name, suffix string) (n uint64, ok bool) {
	stem, ok := strings.CutSuffix(name, suffix)
	if !ok || len(stem) != 16 || stem != strings.ToLower(stem) {
		return 0, false
	}
	n, err := strconv.ParseUint(stem, 16, 64)
	return n, err == nil
}

// isTemp tells whether name is that of a temporary file of this package.
func isTemp(name string) bool {
	stem, ok := strings.CutSuffix(name, vfs.TempSuffix)
	if !ok {
		return false
	}
	if stem == identityName {
		return true
	}
	for _, suffix := range []string{segmentSuffix, snapshotSuffix} {
		if stem, ok := strings.CutSuffix(stem, suffix); ok {
			number, _, _ := strings.Cut(stem, "-")
			_, ok := parseName(number, "")
			return ok
		}
	}
	return false
}

// directory is the one place where all files are.
type directory struct {
	fs   vfs.FS
	path string

	mu     sync.Mutex // a file may not be synced twice at a time
	handle vfs.Dir
}

func openDirectory(fsys vfs.FS, path string) (*directory, error) {
	handle, err := fsys.OpenDir(path)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return &directory{fs: fsys, path: path, handle: handle}, nil
}

func (d *directory) close() error { return d.handle.Close() }

func (d *directory) join(name string) string { return filepath.Join(d.path, name) }

// sync makes the names of the directory durable as they are now.
func (d *directory) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.handle.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w: %w", d.path, errDirectoryInDoubt, err)
	}
	return nil
}

// lock takes the directory for this process until the result is closed.
func (d *directory) lock() (io.Closer, error) {
	l, err := d.fs.Lock(d.join(lockName))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, d.path, err)
	}
	return l, nil
}

// listing is what a directory holds of this package, numbers ascending.
type listing struct {
	identity     bool
	identityTemp bool
	segments     []uint64
	snapshots    []raft.Index
	temps        []string
}

func (d *directory) list() (listing, error) {
	var l listing
	names, err := d.fs.List(d.path)
	if err != nil {
		return l, fmt.Errorf("list %s: %w", d.path, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if n, ok := parseName(name, segmentSuffix); ok {
			l.segments = append(l.segments, n)
		} else if n, ok := parseName(name, snapshotSuffix); ok {
			l.snapshots = append(l.snapshots, raft.Index(n))
		} else if isTemp(name) {
			l.temps = append(l.temps, name)
		}
		l.identity = l.identity || name == identityName
		l.identityTemp = l.identityTemp || name == identityName+vfs.TempSuffix
	}
	return l, nil
}

// read returns all of a file.
func (d *directory) read(name string) ([]byte, error) { return vfs.ReadFile(d.fs, d.join(name)) }

// writeTemp writes the file name.tmp, all of it durable but its name.
func (d *directory) writeTemp(name string, content []byte) error {
	return vfs.WriteTemp(d.fs, d.join(name), content)
}

// publish gives the file temp its durable, final name.
func (d *directory) publish(temp, name string) error {
	if err := d.fs.Rename(d.join(temp), d.join(name)); err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	return d.sync()
}

// unname leaves a file that nobody reads with a temporary name only, or returns nothing if it is
// gone already.
func (d *directory) unname(name string) (temp string, err error) {
	temp = name + vfs.TempSuffix
	err = d.fs.Rename(d.join(name), d.join(temp))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("rename: %w", err)
	}
	return temp, nil
}

// remove deletes a file; that it is gone already is no error.
func (d *directory) remove(name string) error {
	if err := d.fs.Remove(d.join(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}
