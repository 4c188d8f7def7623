package wal

import (
	"errors"
	"fmt"
	"sync"
)

// failure is the error that stopped a log: the first one, and ErrClosed after Close.
// A stopped log promises nothing more. Its lock is taken last.
type failure struct {
	mu struct {
		sync.Mutex
		err error
	}
}

// get returns the error that stopped the log, if any.
func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.err
}

// set stops the log because of err, if nothing has stopped it before. It returns what
// stopped the log, and whether that is err.
func (f *failure) set(err error) (stopped error, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first = f.mu.err == nil; first {
		f.mu.err = fmt.Errorf("wal: stopped: %w", err)
	}
	return f.mu.err, first
}

// close stops the log with ErrClosed. It returns false if that was done before.
func (f *failure) close() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.mu.err, ErrClosed) {
		return false
	}
	f.mu.err = ErrClosed
	return true
}

// stop stops the log for good, and returns the error that every later call returns.
func (b *base) stop(err error) error {
	stopped, first := b.failure.set(err)
	if first {
		b.opts.Logger.Error("log stopped", "dir", b.dir.path, "err", err)
	}
	return stopped
}
