package vfs

import (
	"io/fs"
	"strings"
	"sync"
)

// maxGone is how many files may wait to be freed. More are removed at once.
const maxGone = 64

// Gradual is a file system that frees the space of large files little by little. To remove one at
// once stops every sync on the file system for as long as it takes to free its blocks: 0.4 s for
// 300 MB on ext4, and 20 ms for 64 MB where freed blocks are told to the disk (mount option
// discard). So:
//
//  1. Remove renames the file to a temporary name (see TempSuffix);
//  2. when nobody has it open any more, a goroutine syncs the directory: until then a crash could
//     bring the old name back, and it must not come back without its content;
//  3. it cuts the file off in steps, and then removes it.
//
// What is small, has other names (hard links), or has no other file's worth of space beside it is
// removed at once, and so is everything on file systems other than OS: those of tests need no
// pauses, and their order must not depend on a goroutine.
//
// All files must be opened through it, and it must be closed. Files that are left by then, or by a
// crash, are for whoever removes temporary files in the directory.
type Gradual struct {
	FS
	atOnce bool
	failed func(error)

	// names is held while names change, and for reading while a file is opened, so that whoever
	// has a file open is counted for that file.
	names sync.RWMutex
	mu    struct {
		sync.Mutex
		open map[string]*content // files that are open, by name
		// gone has the files that are not free yet, by temporary name, and queue those of them that
		// nobody has open, and that are not being freed.
		gone    map[string]*gone
		queue   []*gone
		working bool // there is a goroutine
		closed  bool
	}
	quit   chan struct{}
	worker sync.WaitGroup
}

// content is what a name stands for while it is open.
type content struct {
	name  string
	users int
	gone  *gone // not nil if it was removed
}

// gone is a file that was removed. Once another file has got its temporary name it has none.
type gone struct{ temp string }

// NewGradual returns fsys with a gradual Remove. failed is told what went wrong after Remove had
// returned: the space of a file is freed at once then, or by whoever removes temporary files.
func NewGradual(fsys FS, failed func(error)) *Gradual {
	g := &Gradual{FS: fsys, atOnce: fsys != OS, failed: failed, quit: make(chan struct{})}
	g.mu.open, g.mu.gone = map[string]*content{}, map[string]*gone{}
	return g
}

// Close ends the goroutine. It does not wait until all space is free.
func (g *Gradual) Close() {
	g.mu.Lock()
	if !g.mu.closed {
		g.mu.closed = true
		close(g.quit)
	}
	g.mu.Unlock()
	g.worker.Wait()
}

// Create implements FS.
func (g *Gradual) Create(name string) (File, error) {
	g.names.Lock()
	defer g.names.Unlock()
	g.take(name)
	return g.open(name, g.FS.Create)
}

// Open implements FS.
func (g *Gradual) Open(name string) (File, error) {
	g.names.RLock()
	defer g.names.RUnlock()
	return g.open(name, g.FS.Open)
}

// OpenReadWrite implements FS.
func (g *Gradual) OpenReadWrite(name string) (File, error) {
	g.names.RLock()
	defer g.names.RUnlock()
	return g.open(name, g.FS.OpenReadWrite)
}

// Rename implements FS.
func (g *Gradual) Rename(oldName, newName string) error {
	g.names.Lock()
	defer g.names.Unlock()
	if err := g.FS.Rename(oldName, newName); err != nil {
		return err
	}
	g.take(newName)
	if c := g.take(oldName); c != nil {
		g.mu.Lock()
		c.name, g.mu.open[newName] = newName, c
		g.mu.Unlock()
	}
	return nil
}

// Remove implements FS.
func (g *Gradual) Remove(name string) error {
	g.names.Lock()
	defer g.names.Unlock()
	temp := strings.TrimSuffix(name, TempSuffix) + TempSuffix
	waits, full := g.waits(temp)
	if waits && temp == name {
		return nil
	}
	if !waits && !full && g.worthwhile(name) && (temp == name || g.FS.Rename(name, temp) == nil) {
		g.removed(g.take(name), temp)
		return nil
	}
	g.take(name)
	return g.FS.Remove(name)
}

// waits tells whether a file of a temporary name is not free yet, and whether no other may wait.
func (g *Gradual) waits(temp string) (waits, full bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.gone[temp] != nil, g.mu.closed || len(g.mu.gone) >= maxGone
}

// worthwhile tells whether to free a file gradually.
func (g *Gradual) worthwhile(name string) bool {
	if g.atOnce {
		return false
	}
	info, err := g.FS.Stat(name)
	if err != nil || info.Mode()&fs.ModeType != 0 || info.Size() <= 2*freeStep || links(info) != 1 {
		return false
	}
	free, err := g.FS.Available(name)
	return err == nil && free >= uint64(info.Size())
}

// removed frees a file, of which c is nil if nobody has it open, or waits until nobody has.
func (g *Gradual) removed(c *content, temp string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := &gone{temp}
	delete(g.mu.open, temp) // whoever had this name has lost it
	if g.mu.gone[temp] = x; c != nil {
		c.gone = x
		return
	}
	g.enqueue(x)
}

// take takes the name from what has it, which it returns: nil if that is not open.
func (g *Gradual) take(name string) *content {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.mu.open[name]
	delete(g.mu.open, name)
	delete(g.mu.gone, name)
	return c
}

// open counts the user before it opens the file, so that it is not taken for unused meanwhile.
func (g *Gradual) open(name string, open func(string) (File, error)) (File, error) {
	g.mu.Lock()
	c := g.mu.open[name]
	if c == nil {
		c = &content{name: name}
		g.mu.open[name] = c
	}
	c.users++
	g.mu.Unlock()
	f, err := open(name)
	if err != nil {
		g.leave(c)
		return nil, err
	}
	return &gradualFile{File: f, leave: sync.OnceFunc(func() { g.leave(c) })}, nil
}

func (g *Gradual) leave(c *content) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.users--
	switch {
	case c.users > 0:
	case c.gone != nil:
		g.enqueue(c.gone)
	case g.mu.open[c.name] == c:
		delete(g.mu.open, c.name)
	}
}

// gradualFile is a file whose user is counted.
type gradualFile struct {
	File
	leave func()
}

// Close implements File.
func (f *gradualFile) Close() error {
	defer f.leave()
	return f.File.Close()
}

// Uncached implements UncachedFile.
func (f *gradualFile) Uncached() (UncachedWriter, error) { return Uncached(f.File) }
