package wal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

const (
	// fillStep is how many zeros are written and synced at a time, so that a Save does
	// not wait behind many.
	fillStep = 256 << 10
	// fillAhead is how many bytes of the spare segment are made ready for each byte that
	// the present one gets: enough to be done early, but no burst.
	fillAhead = 2
)

// spare is the segment that follows the one being written. It is made ahead of its use, of a
// file that is used again (reuse.go) or of zeros: a write over blocks that were written before
// needs no commit of the file system's journal.
type spare struct {
	*base
	live *liveSegments

	mu struct { // held while a piece is written, or a file read that is used again
		sync.Mutex
		segment *segment // nil, or prepared and unused
		newest  uint64   // number of the newest segment that was made
		zeros   []byte
		// reusable are temporary names of files that may be used again, at most maxReusable.
		reusable []string
	}
	// size is the size of the segment, or 0: for a look without waiting.
	size atomic.Int64
}

// set is for recovery: next, if not nil, was found behind the segment newest.
func (s *spare) set(newest uint64, next *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.newest = newest
	if next != nil {
		s.mu.segment, s.mu.newest = next, next.seq
		s.size.Store(next.size)
	}
}

func (s *spare) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.segment == nil {
		return nil
	}
	return s.mu.segment.file.Close()
}

// ready tells whether the spare segment is as large as it is to become.
func (s *spare) ready() bool { return s.size.Load() >= s.opts.SegmentSize }

// late tells whether there is something to prepare.
func (s *spare) late() bool { return s.size.Load() < s.target(s.live.last()) }

// target is how large the spare segment should be while the writer is at current, in bytes;
// 0 means that there should be none yet.
func (s *spare) target(current segmentInfo) int64 {
	switch {
	case s.failure.get() != nil, current.empty():
		return 0
	case current.size < s.opts.SegmentSize: // it has no zeros: the sooner it is left the better
		return s.opts.SegmentSize
	}
	steps := (current.used*fillAhead + fillStep - 1) / fillStep
	return min(steps*fillStep, s.opts.SegmentSize)
}

// take gives the segment to the writer. It makes one, without zeros, if none is ready.
func (s *spare) take() (*segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.segment == nil {
		if err := s.create(); err != nil {
			return nil, err
		}
	}
	next := s.mu.segment
	s.mu.segment = nil
	s.size.Store(0)
	return next, nil
}

// prepare brings the segment to its target size.
func (s *spare) prepare() error {
	for {
		if done, err := s.prepareStep(); done || err != nil {
			return err
		}
	}
}

// prepareStep makes the segment, or writes one piece of it.
func (s *spare) prepareStep() (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The writer may move on meanwhile. So it is looked at once: a target that was set for one
	// segment must not make a spare for the next one, which has no frame yet. Recovery takes
	// two segments without a frame for damage.
	current := s.live.last()
	target := s.target(current)
	if s.size.Load() >= target {
		return true, nil
	}
	if s.mu.segment == nil {
		if current.seq != s.mu.newest {
			return true, nil // the writer has taken one, and is about to move there
		}
		if len(s.mu.reusable) > 0 {
			return false, s.reuse()
		}
		if err := s.checkSpace(); err != nil {
			return false, err
		}
		return false, s.create()
	}
	if s.mu.zeros == nil {
		s.mu.zeros = make([]byte, min(fillStep, s.opts.SegmentSize))
	}
	n := min(int64(len(s.mu.zeros)), target-s.mu.segment.size)
	if err := s.mu.segment.extend(s.mu.zeros[:n]); err != nil {
		return false, errors.Join(err, s.discard())
	}
	s.size.Store(s.mu.segment.size)
	return false, nil
}

// create makes the segment behind the newest one. s.mu is held.
func (s *spare) create() error {
	next, err := s.dir.createSegment(s.id, s.mu.newest+1, s.opts.Rand)
	if err != nil {
		return err
	}
	s.mu.segment, s.mu.newest = next, next.seq
	s.size.Store(next.size)
	return nil
}

// discard gives up the segment, since a failed sync leaves it in doubt. It also gives
// back its space, which on a full disk others can use. s.mu is held.
func (s *spare) discard() error {
	next := s.mu.segment
	s.mu.segment, s.mu.newest = nil, next.seq-1
	s.size.Store(0)
	err := next.file.Close()
	if err = errors.Join(err, s.dir.remove(segmentName(next.seq))); err != nil {
		return fmt.Errorf("give up segment %d: %w", next.seq, err)
	}
	return s.dir.sync()
}

// checkSpace fails if the disk has no room for a segment and as much again for the
// rest of the node. Not to know is no failure.
func (b *base) checkSpace() error {
	available, err := b.dir.fs.Available(b.dir.path)
	if err != nil || available >= 2*uint64(b.opts.SegmentSize) {
		return nil
	}
	return fmt.Errorf("the disk has only %d bytes left", available)
}
