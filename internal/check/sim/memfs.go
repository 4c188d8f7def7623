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

// memFS is a file system in memory that can lose what was not synced, sector by
// sector, and fail at any operation. Unlike Pebble's MemFS it does so in the same way
// whenever it is given the same chance. Directories exist as soon as they are named.
type memFS struct {
	rand   *rand.Rand
	files  map[string]*memNode // by path, as a running process sees them
	synced map[string]*memNode // as a crash may leave them
	// changed is what was done to names since their directory was synced, in order.
	changed []nameChange
	locked  map[string]bool

	full bool // no space is left
	// faultIn counts the changing operations down to the one that is to fail; below 0:
	// none is. Dead is set when a crash came by it: nothing has any effect any more.
	faultIn int
	crash   bool // what comes is a crash, not an error
	dead    bool
	fired   bool
	failed  int // operations that met an error
}

// nameChange sets a name, or removes it if node is nil; and a rename is one change.
type nameChange struct {
	name  string
	node  *memNode
	unset string // the old name of a rename
}

const sectorSize = 512

// memNode is the content of a file.
type memNode struct {
	data, synced []byte
	dirty        map[int]bool // sectors of data that may differ from synced
}

var (
	errCrashed = errors.New("the process is gone")
	errIO      = fmt.Errorf("simulated: %w", syscall.EIO)
	errFull    = fmt.Errorf("simulated: %w", syscall.ENOSPC)
)

func newMemFS(r *rand.Rand) *memFS {
	return &memFS{rand: r, files: map[string]*memNode{}, synced: map[string]*memNode{}, locked: map[string]bool{}, faultIn: -1}
}

// failAfter lets some changing operation within the next n fail, or the process die at it.
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

// restart forgets the process that used the file system. After a power loss each
// sector and name that was not synced is as it was, or as it was to be, by chance.
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
	if c.unset != "" {
		delete(names, c.unset)
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

// giveUp is what a failed sync leaves: some sectors are taken for written although they
// are not, as Linux does, and another sync would say that all is well.
func (n *memNode) giveUp(r *rand.Rand) {
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
	if n := fs.files[name]; n != nil {
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
	fs.rename(nameChange{name: name})
	return nil
}

func (fs *memFS) Rename(from, to string) error {
	n := fs.files[from]
	if n == nil {
		return &os.PathError{Op: "rename", Path: from, Err: os.ErrNotExist}
	}
	if err := fs.change(false); err != nil {
		return err
	}
	fs.rename(nameChange{name: to, node: n, unset: from})
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

// Stat finds files, and takes for a directory whatever is none.
func (fs *memFS) Stat(name string) (os.FileInfo, error) {
	if n := fs.files[name]; n != nil {
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
		return nil, errors.New("locked")
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

// memFile is an open file, or if it has no node an open directory.
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
	if err != nil { // an error or a crash in the midst of it
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
			f.node.giveUp(f.fs.rand)
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

// damage says what has become of a file.
type damage uint8

const (
	none damage = iota
	// flipped: one bit is another, which no crash does.
	flipped
	// hollowed: a sector is empty, and a write begins behind it. Only of the last write
	// can that be what a crash left. Where none begins behind it, the log cannot know:
	// small writes that are gone and the rest of the last look like one large write that
	// lacks its front.
	hollowed
	// cut: the end is missing, as it may be after a crash.
	cut
)

// frameMagic is at the front of each write of a log.
var frameMagic = []byte("fram")

// rot changes one file: so may what lies on disks.
func (fs *memFS) rot() (d damage) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(fs.files)) {
		if len(fs.files[name].data) > 0 {
			names = append(names, name)
		}
	}
	n := fs.files[names[fs.rand.IntN(len(names))]]
	at := fs.rand.IntN(len(n.data))
	switch fs.rand.IntN(6) {
	case 0:
		n.data = n.data[:at]
		d = cut
	case 1, 2:
		at -= at % sectorSize
		end := min(at+sectorSize, len(n.data))
		clear(n.data[at:end])
		d = cut
		if bytes.Contains(n.data[end:], frameMagic) {
			d = hollowed
		}
	default:
		n.data[at] ^= 1 << fs.rand.IntN(8)
		d = flipped
	}
	n.synced = slices.Clone(n.data)
	clear(n.dirty)
	return d
}
