package wal

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/internal/wake"
)

// retryAfter is how long a failed attempt at the spare segment is left alone.
const retryAfter = time.Second

// background does what a Save should not wait for: it removes obsolete segments, and
// prepares the spare one.
type background struct {
	*base
	live  *liveSegments
	spare *spare

	mu sync.Mutex // held while the work is done

	signal  wake.Signal
	quit    chan struct{}
	workers sync.WaitGroup
	// lowSpace is set while the spare segment cannot be prepared.
	lowSpace atomic.Bool
}

func newBackground(b *base, live *liveSegments, spare *spare) *background {
	return &background{base: b, live: live, spare: spare, signal: wake.New(), quit: make(chan struct{})}
}

// start starts the goroutine, unless the work is done inline.
func (b *background) start() {
	if !b.opts.Inline {
		b.workers.Go(b.run)
	}
}

// stop returns when nothing is done any more. The log is closed by then, so nothing is
// begun either.
func (b *background) stop() {
	close(b.quit)
	b.workers.Wait()
	b.mu.Lock() // a work that is done inline
	defer b.mu.Unlock()
}

// wake has the work done: soon by the goroutine, or now if Inline.
func (b *background) wake() {
	if b.opts.Inline {
		b.work()
		return
	}
	b.signal.Set()
}

func (b *background) run() {
	retry := time.NewTimer(0)
	retry.Stop()
	for {
		select {
		case <-b.quit:
			return
		case <-b.signal.C():
		case <-retry.C:
		}
		if b.work(); b.lowSpace.Load() {
			retry.Reset(retryAfter)
		}
	}
}

// hasWork tells, without waiting, whether a Save has made work.
func (b *background) hasWork() bool {
	if b.lowSpace.Load() && !b.opts.Inline {
		return false // run tries again by itself
	}
	return b.spare.late()
}

// work removes obsolete segments and prepares the spare one. Except for a directory in
// doubt, its failures stop nothing: it is tried again.
func (b *background) work() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.removeObsolete(); err != nil {
		b.failed("cannot remove an old segment", err)
	}
	err := b.spare.prepare()
	if err != nil {
		b.failed("cannot prepare the next segment", err)
	}
	if was := b.lowSpace.Swap(err != nil); was && err == nil {
		b.opts.Logger.Info("the next segment is ready again")
	}
}

func (b *background) failed(what string, err error) {
	if errors.Is(err, errDirectoryInDoubt) {
		b.base.stop(err)
		return
	}
	b.opts.Logger.Warn(what, "dir", b.dir.path, "err", err)
}

// removeObsolete removes the segments all of whose entries are compacted, oldest first, or
// keeps their files to be used again.
// Each removal is durable before the next, so that no crash leaves a gap.
func (b *background) removeObsolete() (err error) {
	for b.failure.get() == nil {
		info, ok := b.live.obsolete()
		if !ok {
			break
		}
		temp := ""
		if b.spare.hasRoomFor(info) {
			temp, err = b.dir.unname(segmentName(info.seq))
		} else {
			err = b.dir.remove(segmentName(info.seq))
		}
		if err == nil {
			err = b.dir.sync()
		}
		if err != nil {
			return err
		}
		if temp != "" {
			b.spare.keep(temp)
		}
		b.live.removeOldest()
	}
	return nil
}
