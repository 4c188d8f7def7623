package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"balsa.example/vfs"
)

// To remove a large file at once stops every sync on the file system for as long as it
// takes to free its blocks: 0.4 s for 300 MB on ext4, and longer where freed blocks are
// told to the disk (mount option discard). So a file first loses its name, then its
// content little by little, and then its temporary name.

const (
	shrinkStep  = 2 << 20
	shrinkPause = 5 * time.Millisecond
	// maxDoomed is how many files may wait for it. More are removed at once.
	maxDoomed = 64
)

// retire takes a file's name away, from now on or from when the caller has synced the
// directory. It returns the temporary name that the file is left with, which is then for
// shrink; empty if it is gone. Nobody may read the file.
func (l *Log) retire(name string) (temp string, err error) {
	if l.opts.Inline || l.opts.FS != vfs.OS || l.checkSpace() != nil {
		return "", l.dir.remove(name) // there is no hurry to be avoided, or there is one
	}
	temp = name + vfs.TempSuffix
	err = l.dir.fs.Rename(l.dir.join(name), l.dir.join(temp))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("rename: %w", err)
	}
	return temp, nil
}

// shrink has a file removed in the background whose new name is durable. Until then its
// old name could come back in a crash, and must not come back without its content.
func (l *Log) shrink(temp string) {
	if temp == "" {
		return
	}
	l.shrinking.Add(1)
	select {
	case l.doomed <- temp:
	default:
		l.shrunk(l.dir.remove(temp))
	}
}

func (l *Log) shrunk(err error) {
	if err != nil {
		l.opts.Logger.Warn("cannot remove a file", "dir", l.dir.path, "err", err)
	}
	l.shrinking.Done()
}

// removeDoomed is a background goroutine. What it leaves is removed by the next Open.
func (l *Log) removeDoomed() {
	defer l.workers.Done()
	for {
		select {
		case <-l.quit:
			return
		case temp := <-l.doomed:
			l.shrunk(errors.Join(l.empty(temp), l.dir.remove(temp)))
		}
	}
}

// empty cuts a file down to less than a step. Each cut is synced, or the file system
// would collect them.
func (l *Log) empty(temp string) error {
	f, err := l.dir.fs.OpenReadWrite(l.dir.join(temp))
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
		case <-l.quit:
			return nil
		}
	}
	return nil
}
