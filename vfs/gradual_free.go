package vfs

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

const (
	// freeStep is how much of a file is freed at once: about a millisecond of work for the disk.
	freeStep = 2 << 20
	// freePause is the time between two steps at least.
	freePause = 5 * time.Millisecond
)

// enqueue has a file freed that nobody has open. It is called with mu.
func (g *Gradual) enqueue(x *gone) {
	if g.mu.closed {
		return
	}
	if g.mu.queue = append(g.mu.queue, x); !g.mu.working {
		g.mu.working = true
		g.worker.Go(g.work)
	}
}

// work frees files until none waits.
func (g *Gradual) work() {
	for {
		g.mu.Lock()
		if g.mu.closed || len(g.mu.queue) == 0 {
			g.mu.working = false
			g.mu.Unlock()
			return
		}
		x := g.mu.queue[0]
		g.mu.queue = g.mu.queue[1:]
		g.mu.Unlock()
		if err := g.free(x); err != nil {
			g.failed(fmt.Errorf("free %s: %w", x.temp, err))
		}
	}
}

// free removes a file that has its temporary name only. Its old name must not come back with less
// in it.
func (g *Gradual) free(x *gone) error {
	err := SyncDir(g.FS, filepath.Dir(x.temp))
	if err == nil {
		err = g.shrink(x)
	}
	select {
	case <-g.quit:
		return nil
	default:
	}
	g.names.Lock()
	defer g.names.Unlock()
	if g.has(x) {
		g.take(x.temp)
		err = errors.Join(err, g.FS.Remove(x.temp))
	}
	return err
}

// has tells whether a file still has its temporary name.
func (g *Gradual) has(x *gone) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.gone[x.temp] == x
}

// reopen returns nil if the file has lost its temporary name.
func (g *Gradual) reopen(x *gone) (File, error) {
	g.names.RLock()
	defer g.names.RUnlock()
	if !g.has(x) {
		return nil, nil
	}
	return g.FS.OpenReadWrite(x.temp)
}

// shrink cuts a file down to less than a step. Each cut is synced, or the file system would
// collect them.
func (g *Gradual) shrink(x *gone) error {
	f, err := g.reopen(x)
	if f == nil || err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	pause := time.NewTicker(freePause)
	defer pause.Stop()
	for size := info.Size() - freeStep; size > 0; size -= freeStep {
		if err := f.Truncate(size); err != nil {
			return fmt.Errorf("cut: %w", err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		select {
		case <-pause.C:
		case <-g.quit:
			return nil
		}
	}
	return nil
}
