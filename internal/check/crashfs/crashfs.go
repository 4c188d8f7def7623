// Package crashfs tests what writes files: with files in memory that can lose what was not
// synced, and with errors at any operation. Both are Pebble's (package vfs of
// github.com/cockroachdb/pebble/v2), behind balsa's [vfs.FS]. Only tests import this package,
// so that what ships has no part of Pebble.
package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"

	pebble "github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/vfs"
)

// Mem is a file system in memory.
type Mem struct {
	adapter
	mem *removing
}

// removing knows the files that were removed. Pebble's clones have those again whose removal was not synced,
// and a crash may leave either.
type removing struct {
	*pebble.MemFS
	mu      sync.Mutex
	removed map[string]bool
}

func (r *removing) Remove(name string) error {
	err := r.MemFS.Remove(name)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.removed[name] = true
	}
	return err
}

// gone returns the names that are there no more.
func (r *removing) gone() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(r.removed)) {
		if _, err := r.Stat(name); err != nil { // else there is another file of that name
			names = append(names, name)
		}
	}
	return names
}

// NewMem returns an empty file system that cannot crash.
func NewMem() *Mem { return newMem(pebble.NewMem()) }

// NewCrashableMem returns an empty file system that keeps track of what was synced.
func NewCrashableMem() *Mem { return newMem(pebble.NewCrashableMem()) }

func newMem(mem *pebble.MemFS) *Mem {
	r := &removing{MemFS: mem, removed: map[string]bool{}}
	return &Mem{adapter: adapter{r}, mem: r}
}

// Crash says what a crash leaves.
type Crash struct {
	// UnsyncedPercent is the probability that a block, a name or a removal that was not synced is there
	// after the crash. Above 0 it takes Rand. 100 is what the next process finds where only the process has ended.
	UnsyncedPercent int
	Rand            *rand.Rand
}

// CrashClone returns what would be there after a crash. The file system itself goes on.
func (m *Mem) CrashClone(c Crash) *Mem {
	clone := newMem(m.mem.CrashClone(pebble.CrashCloneCfg{UnsyncedDataPercent: c.UnsyncedPercent, RNG: c.Rand}))
	for _, name := range m.mem.gone() {
		if c.UnsyncedPercent > 0 && c.Rand.IntN(100) < c.UnsyncedPercent {
			_ = clone.mem.MemFS.Remove(name) // an error: the removal was synced
		}
	}
	return clone
}

// SetAvailable sets how many bytes may still be written, as [vfs.FS] Available tells.
func (m *Mem) SetAvailable(bytes uint64) {
	m.mem.TestingSetDiskUsage(pebble.DiskUsage{AvailBytes: bytes})
}

// RemoveAll removes a file or a directory with all that is in it.
func (m *Mem) RemoveAll(name string) error { return m.mem.RemoveAll(name) }

// String lists all files.
func (m *Mem) String() string { return m.mem.String() }

// Inject returns fsys, which is of this package, with the errors that the injector gives for
// each of its operations.
func Inject(fsys vfs.FS, injector errorfs.Injector) vfs.FS {
	return adapter{errorfs.Wrap(fsys.(interface{ pebbleFS() pebble.FS }).pebbleFS(), injector)}
}

// adapter makes a vfs.FS of Pebble's.
type adapter struct{ fs pebble.FS }

func (a adapter) pebbleFS() pebble.FS { return a.fs }

func (a adapter) Create(name string) (vfs.File, error) {
	return wrap(a.fs.Create(name, pebble.WriteCategoryUnspecified))
}

func (a adapter) Open(name string) (vfs.File, error) { return wrap(a.fs.Open(name)) }

// OpenReadWrite looks first, since Pebble's would make the file.
func (a adapter) OpenReadWrite(name string) (vfs.File, error) {
	if _, err := a.fs.Stat(name); err != nil {
		return nil, err
	}
	return wrap(a.fs.OpenReadWrite(name, pebble.WriteCategoryUnspecified))
}

func (a adapter) OpenDir(name string) (vfs.Dir, error) {
	d, err := a.fs.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (a adapter) Rename(oldName, newName string) error { return a.fs.Rename(oldName, newName) }

func (a adapter) Remove(name string) error { return a.fs.Remove(name) }

func (a adapter) MkdirAll(name string, perm fs.FileMode) error { return a.fs.MkdirAll(name, perm) }

func (a adapter) List(name string) ([]string, error) { return a.fs.List(name) }

func (a adapter) Stat(name string) (fs.FileInfo, error) {
	info, err := a.fs.Stat(name)
	if err != nil {
		return nil, err
	}
	return info, nil
}

func (a adapter) Lock(name string) (io.Closer, error) {
	l, err := a.fs.Lock(name)
	if errors.Is(err, syscall.EAGAIN) {
		err = vfs.ErrLocked
	}
	return l, err
}

func (a adapter) Available(name string) (uint64, error) {
	usage, err := a.fs.GetDiskUsage(name)
	return usage.AvailBytes, err
}

// file makes a vfs.File of Pebble's.
type file struct{ pebble.File }

func wrap(f pebble.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

// Write hands on a copy: Pebble's may change what it is given.
func (f file) Write(p []byte) (int, error) { return f.File.Write(slices.Clone(p)) }

// WriteAt hands on a copy, as Write does.
func (f file) WriteAt(p []byte, off int64) (int, error) { return f.File.WriteAt(slices.Clone(p), off) }

func (f file) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return info, nil
}

// Truncate is not supported, since Pebble's files lack it.
func (f file) Truncate(int64) error { return errors.ErrUnsupported }
