package wal

import (
	"errors"
	"fmt"
	"time"
)

const (
	// fillStep is how many zeros are written and synced at a time, so that a Save does
	// not wait behind many.
	fillStep = 256 << 10
	// fillAhead is how many bytes of the next segment are made ready for each byte
	// of the present one: enough to be done early, but no burst.
	fillAhead = 2
	// retryAfter is how long a failed attempt at the next segment is left alone.
	retryAfter = time.Second
)

// kick has the chores done: soon by the background goroutine, or now if Inline.
func (l *Log) kick() {
	if l.opts.Inline {
		l.doChores()
		return
	}
	l.wake.Set()
}

// work is the background goroutine.
func (l *Log) work() {
	defer l.workers.Done()
	retry := time.NewTimer(0)
	retry.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-l.wake.C():
		case <-retry.C:
		}
		if l.doChores(); l.low.Load() {
			retry.Reset(retryAfter)
		}
	}
}

// doChores removes segments that are not needed and prepares the next one. Except
// for a directory in doubt, its failures stop nothing: it will be tried again.
func (l *Log) doChores() {
	l.chores.Lock()
	defer l.chores.Unlock()
	if err := l.trim(); err != nil {
		l.choreFailed("cannot remove an old segment", err)
	}
	err := l.prepare()
	if err != nil {
		l.choreFailed("cannot prepare the next segment", err)
	}
	if was := l.low.Swap(err != nil); was && err == nil {
		l.opts.Logger.Info("the next segment is ready again")
	}
}

func (l *Log) choreFailed(what string, err error) {
	if errors.Is(err, errDirectoryInDoubt) {
		l.fail(err)
		return
	}
	l.opts.Logger.Warn(what, "dir", l.dir.path, "err", err)
}

// trim removes the segments all of whose entries are compacted, oldest first. Each
// removal is durable before the next, so that no crash leaves a gap.
func (l *Log) trim() error {
	for {
		seq, ok := l.needless()
		if !ok {
			return nil
		}
		temp, err := l.retire(segmentName(seq))
		if err != nil {
			return err
		}
		if err := l.dir.sync(); err != nil {
			return err
		}
		l.shrink(temp)
		l.mu.Lock()
		l.segments = l.segments[1:]
		l.mu.Unlock()
	}
}

// needless returns the oldest segment if no entry in it is needed: all that were
// alive when the next one was begun are compacted.
func (l *Log) needless() (seq uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// The first frame of the next one must be durable: it carries the hard state.
	if l.failed != nil || len(l.segments) < 2 || l.segments[1].used == headerSize {
		return 0, false
	}
	return l.segments[0].seq, l.segments[1].before <= l.compact
}

// wantsChores is a quick look whether there is something to do after a Save.
func (l *Log) wantsChores() bool {
	if l.low.Load() && !l.opts.Inline {
		return false // the timer sees to it
	}
	return l.nextSize.Load() < l.fillTarget()
}

// fillTarget is how large the next segment should be by now, in bytes; 0 means
// that there should be none yet.
func (l *Log) fillTarget() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	cur := l.segments[len(l.segments)-1]
	switch {
	case l.failed != nil, cur.used == headerSize:
		return 0
	case cur.size < l.opts.SegmentSize: // unfilled: the sooner it is left the better
		return l.opts.SegmentSize
	}
	steps := (cur.used*fillAhead + fillStep - 1) / fillStep
	return min(steps*fillStep, l.opts.SegmentSize)
}

// prepare brings the next segment to its target.
func (l *Log) prepare() error {
	for {
		if done, err := l.prepareStep(); done || err != nil {
			return err
		}
	}
}

// prepareStep creates the next segment, or writes one piece of it.
func (l *Log) prepareStep() (done bool, err error) {
	l.filling.Lock()
	defer l.filling.Unlock()
	target := l.fillTarget()
	if l.nextSize.Load() >= target {
		return true, nil
	}
	if l.next == nil {
		if err := l.checkSpace(); err != nil {
			return false, err
		}
		if l.next, err = l.dir.createSegment(l.id, l.cur.seq+1, l.opts.Rand); err != nil {
			return false, err
		}
	} else {
		if l.zeros == nil {
			l.zeros = make([]byte, min(fillStep, l.opts.SegmentSize))
		}
		n := min(int64(len(l.zeros)), target-l.next.size)
		if err := l.next.extend(l.zeros[:n]); err != nil {
			return false, errors.Join(err, l.discardNext())
		}
	}
	l.nextSize.Store(l.next.size)
	return false, nil
}

// checkSpace fails if the disk has no room for a segment and as much again for the
// rest of the node. Not to know is no failure.
func (l *Log) checkSpace() error {
	available, err := l.dir.fs.Available(l.dir.path)
	if err != nil || available >= 2*uint64(l.opts.SegmentSize) {
		return nil
	}
	return fmt.Errorf("the disk has only %d bytes left", available)
}

// discardNext gives up the next segment, since a failed sync leaves it in doubt. It
// also gives back its space, which on a full disk others can use.
func (l *Log) discardNext() error {
	next := l.next
	l.next = nil
	l.nextSize.Store(0)
	err := next.file.Close()
	if err = errors.Join(err, l.dir.remove(segmentName(next.seq))); err != nil {
		return fmt.Errorf("give up segment %d: %w", next.seq, err)
	}
	return l.dir.sync()
}
