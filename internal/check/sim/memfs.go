package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"balsa.example/vfs"
)

// memFS is a file system in memory that can lose what was not synced, sector by sector, and
// fail at any operation. Unlike Pebble's MemFS it is deterministic: the same random numbers
// give the same faults. Directories need not be created.
type memFS struct {
	rand   *rand.Rand
	files  map[string]*memNode // by path, as a running process sees them
	synced map[string]*memNode // as a crash may leave them
	// changed are the changes of names since their directory was synced, in order.
	changed []nameChange
	locked  map[string]bool

	full bool // no space is left
	// faultIn is the number of changing operations before the one that fails; below 0: none
	// fails. If crash is true it is not an error but a crash, which sets dead: no operation
	// has any effect any more.
	faultIn int
	crash   bool
	dead    bool
	fired   bool // the fault has come
	failed  int  // number of operations that got an error
	// readFaultIn is the number of reads before the one that fails; below 0: none fails.
	readFaultIn int
}

// nameChange sets a name, or removes it if node is nil. A rename is one change.
type nameChange struct {
	name    string
	node    *memNode
	oldName string // of a rename
}

const sectorSize = 512

// memNode is the content of a file.
type memNode struct {
	data, synced []byte
	dirty        map[int]bool // sectors of data that may differ from synced
	// lost: the file cannot be found any more, though its directory still has the name.
	lost bool
}

var (
	errCrashed = errors.New("the process is gone")
	errIO      = fmt.Errorf("simulated: %w", syscall.EIO)
	errFull    = fmt.Errorf("simulated: %w", syscall.ENOSPC)
)

func newMemFS(r *rand.Rand) *memFS {
	return &memFS{rand: r, files: map[string]*memNode{}, synced: map[string]*memNode{}, locked: map[string]bool{}, faultIn: -1, readFaultIn: -1}
}

// failAfter lets one of the next n changing operations fail, or the process crash at it.
func (fs *memFS) failAfter(n int, crash bool) {
	fs.faultIn, fs.crash, fs.fired = fs.rand.IntN(n), crash, false
}

// change is called before each operation that changes something.
func (fs *memFS) change(takesSpace bool) error {
	switch {
	case fs.dead:
		return errCrashed
	case fs.full && takesSpace:
		return errFull
	case fs.faultIn < 0:
		return nil
	}
	fs.faultIn--
	if fs.faultIn >= 0 {
		return nil
	}
	fs.fired = true
	if fs.crash {
		fs.dead = true
		return errCrashed
	}
	fs.failed++
	return errIO
}

// restart is called when the process that used the file system has ended. After a power loss
// each sector and each name that was not synced is, at random, the old one or the new one.
func (fs *memFS) restart(powerLoss bool) {
	clear(fs.locked)
	fs.dead, fs.faultIn = false, -1
	if !powerLoss {
		return
	}
	keep := pick(fs.rand, 0, 0.1, 0.5, 0.9, 1)
	for _, c := range fs.changed {
		if fs.rand.Float64() < keep {
			c.apply(fs.synced)
		}
	}
	fs.changed = nil
	fs.files = maps.Clone(fs.synced)
	seen := map[*memNode]bool{}
	for _, name := range slices.Sorted(maps.Keys(fs.files)) {
		if n := fs.files[name]; !seen[n] {
			seen[n] = true
			n.tear(fs.rand, keep)
		}
	}
}

func (c nameChange) apply(names map[string]*memNode) {
	if c.oldName != "" {
		delete(names, c.oldName)
	}
	if c.node == nil {
		delete(names, c.name)
	} else {
		names[c.name] = c.node
	}
}

func (n *memNode) tear(r *rand.Rand, keep float64) {
	data := slices.Clone(n.synced)
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		from := s * sectorSize
		if r.Float64() >= keep || from >= len(n.data) {
			continue
		}
		sector := n.data[from:min(from+sectorSize, len(n.data))]
		if grow := from + len(sector) - len(data); grow > 0 {
			data = append(data, make([]byte, grow)...)
		}
		copy(data[from:], sector)
	}
	n.data, n.synced, n.dirty = data, slices.Clone(data), map[int]bool{}
}

func (n *memNode) write(p []byte, off int) {
	if grow := off + len(p) - len(n.data); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
	}
	copy(n.data[off:], p)
	for s := off / sectorSize; s*sectorSize < off+len(p); s++ {
		n.dirty[s] = true
	}
}

func (n *memNode) sync() {
	if grow := len(n.data) - len(n.synced); grow > 0 {
		n.synced = append(n.synced, make([]byte, grow)...)
	}
	for s := range n.dirty {
		from := s * sectorSize
		to := min(from+sectorSize, len(n.data))
		copy(n.synced[from:to], n.data[from:to])
	}
	clear(n.dirty)
}

// failedSync marks some dirty sectors as clean although they were not written, as Linux does
// after a failed sync. The next sync succeeds without writing them.
func (n *memNode) failedSync(r *rand.Rand) {
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		if r.IntN(2) == 0 {
			delete(n.dirty, s)
		}
	}
}

func (fs *memFS) rename(c nameChange) {
	c.apply(fs.files)
	fs.changed = append(fs.changed, c)
}

func (fs *memFS) MkdirAll(string, os.FileMode) error { return nil }

func (fs *memFS) Create(name string) (vfs.File, error) {
	if err := fs.change(true); err != nil {
		return nil, err
	}
	n := &memNode{dirty: map[int]bool{}}
	fs.rename(nameChange{name: name, node: n})
	return &memFile{fs: fs, node: n, name: name}, nil
}

func (fs *memFS) Open(name string) (vfs.File, error) {
	if n := fs.files[name]; n != nil && !n.lost {
		return &memFile{fs: fs, node: n, name: name}, nil
	}
	return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
}

func (fs *memFS) OpenReadWrite(name string) (vfs.File, error) {
	return fs.Open(name)
}

func (fs *memFS) OpenDir(name string) (vfs.Dir, error) {
	return &memFile{fs: fs, name: name}, nil
}

func (fs *memFS) Remove(name string) error {
	if fs.files[name] == nil {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	if err := fs.change(false); err != nil {
		return err
	}
	lost := fs.files[name].lost
	if fs.rename(nameChange{name: name}); lost {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	return nil
}

func (fs *memFS) Rename(from, to string) error {
	n := fs.files[from]
	if n == nil || n.lost {
		return &os.PathError{Op: "rename", Path: from, Err: os.ErrNotExist}
	}
	if err := fs.change(false); err != nil {
		return err
	}
	fs.rename(nameChange{name: to, node: n, oldName: from})
	return nil
}

func (fs *memFS) List(dir string) (names []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(fs.files)) {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok && !strings.Contains(rest, "/") {
			names = append(names, rest)
		}
	}
	return names, nil
}

// Stat finds files, not directories.
func (fs *memFS) Stat(name string) (os.FileInfo, error) {
	if n := fs.files[name]; n != nil && !n.lost {
		return fileInfo{path.Base(name), int64(len(n.data))}, nil
	}
	return nil, &os.PathError{Op: "stat", Path: name, Err: os.ErrNotExist}
}

func (fs *memFS) Available(string) (uint64, error) {
	if fs.full {
		return 0, nil
	}
	return 1 << 40, nil
}

func (fs *memFS) Lock(name string) (io.Closer, error) {
	if fs.locked[name] {
		return nil, vfs.ErrLocked
	}
	fs.locked[name] = true
	return lock{fs, name}, nil
}

type lock struct {
	fs   *memFS
	name string
}

func (l lock) Close() error {
	delete(l.fs.locked, l.name)
	return nil
}

// memFile is an open file, or an open directory if node is nil.
type memFile struct {
	fs   *memFS
	node *memNode
	name string
	pos  int
}

func (f *memFile) Close() error { return nil }

func (f *memFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, int64(f.pos))
	f.pos += n
	if n > 0 {
		err = nil
	}
	return n, err
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if f.fs.readFaultIn >= 0 {
		if f.fs.readFaultIn--; f.fs.readFaultIn < 0 {
			return 0, errIO
		}
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, int64(f.pos))
	f.pos += n
	return n, err
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.fs.change(int(off)+len(p) > len(f.node.data))
	if err != nil && !f.fs.fired {
		return 0, err
	}
	if err != nil { // an error or a crash during the write
		f.fs.fired = false
		// Sectors are written as a whole or not at all.
		end := (int(off) + f.fs.rand.IntN(len(p)+1)) / sectorSize * sectorSize
		p = p[:max(end-int(off), 0)]
	}
	f.node.write(p, int(off))
	return len(p), err
}

func (f *memFile) Sync() error {
	if err := f.fs.change(false); err != nil {
		if f.node != nil && !f.fs.dead {
			f.node.failedSync(f.fs.rand)
		}
		return err
	}
	if f.node != nil {
		f.node.sync()
		return nil
	}
	kept := f.fs.changed[:0]
	for _, c := range f.fs.changed {
		if path.Dir(c.name) == f.name {
			c.apply(f.fs.synced)
		} else {
			kept = append(kept, c)
		}
	}
	f.fs.changed = kept
	return nil
}

func (f *memFile) SyncData() error { return f.Sync() }

// Truncate is not supported: a log that does its background work at once needs none.
func (f *memFile) Truncate(int64) error { return errors.ErrUnsupported }

func (f *memFile) Stat() (os.FileInfo, error) {
	return fileInfo{path.Base(f.name), int64(len(f.node.data))}, nil
}

type fileInfo struct {
	name string
	size int64
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() os.FileMode  { return 0o600 }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }

// damage is a kind of damage of a file.
type damage uint8

const (
	none damage = iota
	// bitFlipped: one bit has changed. No crash does that.
	bitFlipped
	// sectorZeroed: a sector is zero, and another write begins after it. A crash can do that
	// to the last write only. If no write begins after the sector the damage counts as
	// endMissing, because the log cannot detect it: the rest of the last write looks like a
	// large write that was interrupted.
	sectorZeroed
	// endMissing: the end is missing, as it may be after a crash.
	endMissing
)

// frameMagic returns what is at the beginning of each write of a log's file. In a file that is
// used again it is another one, so that writes of before are not among them.
func frameMagic(file []byte) []byte {
	const headerSize, version, salt = 64, 8, 56 // in wal/header.go
	magic := []byte("fram")
	if len(file) >= headerSize && file[version] == 3 {
		for i := range magic {
			magic[i] ^= file[salt+i]
		}
	}
	return magic
}

// rot damages one file, as a disk may.
func (fs *memFS) rot() (d damage) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(fs.files)) {
		if len(fs.files[name].data) > 0 {
			names = append(names, name)
		}
	}
	return fs.files[names[fs.rand.IntN(len(names))]].rot(fs.rand)
}

// rot damages a file.
func (n *memNode) rot(r *rand.Rand) (d damage) {
	at := r.IntN(len(n.data))
	switch r.IntN(6) {
	case 0:
		n.data = n.data[:at]
		d = endMissing
	case 1, 2:
		at -= at % sectorSize
		end := min(at+sectorSize, len(n.data))
		magic := frameMagic(n.data)
		clear(n.data[at:end])
		d = endMissing
		if bytes.Contains(n.data[end:], magic) {
			d = sectorZeroed
		}
	default:
		n.data[at] ^= 1 << r.IntN(8)
		d = bitFlipped
	}
	n.synced = slices.Clone(n.data)
	clear(n.dirty)
	return d
}
