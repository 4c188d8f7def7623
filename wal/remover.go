package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"balsa.example/vfs"
)

const (
	shrinkStep  = 2 << 20
	shrinkPause = 5 * time.Millisecond
	// maxObsolete is how many files may wait for their removal. More are removed at once.
	maxObsolete = 64
)

// remover removes large files little by little. To remove one at once stops every sync on
// the file system for as long as it takes to free its blocks: 0.4 s for 300 MB on ext4, and
// longer where freed blocks are told to the disk (mount option discard). So:
//
//  1. unname renames the file to a temporary name;
//  2. the caller syncs the directory: until then a crash could bring the old name back, and
//     it must not come back without its content;
//  3. remove has the goroutine cut the file off in steps, and then remove it.
type remover struct {
	*base
	obsolete chan string    // temporary names
	pending  sync.WaitGroup // counts the files in obsolete, and the one being removed

	quit    chan struct{}
	workers sync.WaitGroup
}

func newRemover(b *base) *remover {
	return &remover{base: b, obsolete: make(chan string, maxObsolete), quit: make(chan struct{})}
}

// start starts the goroutine, unless files are removed at once.
func (r *remover) start() {
	if !r.atOnce() {
		r.workers.Go(r.run)
	}
}

// stop ends the goroutine. The next Open removes the files that are left.
func (r *remover) stop() {
	close(r.quit)
	r.workers.Wait()
}

// atOnce tells whether files are removed at once: in an Inline run, whose order must not
// depend on a goroutine, and on the file systems of tests, which need no pauses.
func (r *remover) atOnce() bool { return r.opts.Inline || r.opts.FS != vfs.OS }

// unname takes a file's name away. It returns the temporary name that the file is left
// with, which is for remove; or nothing, if the file is removed already, because the disk
// is short of space. If keep is set, the file is not removed. Nobody may read the file.
func (r *remover) unname(name string, keep bool) (temp string, err error) {
	if !keep && (r.atOnce() || r.checkSpace() != nil) {
		return "", r.dir.remove(name)
	}
	temp = name + vfs.TempSuffix
	err = r.dir.fs.Rename(r.dir.join(name), r.dir.join(temp))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("rename: %w", err)
	}
	return temp, nil
}

// remove has a file removed whose temporary name is durable.
func (r *remover) remove(temp string) {
	if temp == "" {
		return
	}
	r.pending.Add(1)
	select {
	case r.obsolete <- temp:
	default:
		r.removed(r.dir.remove(temp))
	}
}

func (r *remover) removed(err error) {
	if err != nil {
		r.opts.Logger.Warn("cannot remove a file", "dir", r.dir.path, "err", err)
	}
	r.pending.Done()
}

func (r *remover) run() {
	for {
		select {
		case <-r.quit:
			return
		case temp := <-r.obsolete:
			r.removed(errors.Join(r.shrink(temp), r.dir.remove(temp)))
		}
	}
}

// shrink cuts a file down to less than a step. Each cut is synced, or the file system
// would collect them.
func (r *remover) shrink(temp string) error {
	f, err := r.dir.fs.OpenReadWrite(r.dir.join(temp))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	pause := time.NewTicker(shrinkPause)
	defer pause.Stop()
	for size := info.Size() - shrinkStep; size > 0; size -= shrinkStep {
		if err := f.Truncate(size); err != nil {
			return fmt.Errorf("cut: %w", err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		select {
		case <-pause.C:
		case <-r.quit:
			return nil
		}
	}
	return nil
}
