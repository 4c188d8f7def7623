package wal

import (
	"sync"

	"balsa.example/raft"
)

// liveSegments lists the segments that make up the log. The writer appends and updates,
// the background work removes, Stats reads. Its lock is taken last, and held for no I/O.
type liveSegments struct {
	mu struct {
		sync.Mutex
		list      []segmentInfo // oldest first; the writer writes to the last
		compacted raft.Index    // what Compact asked for
	}
}

// segmentInfo is what is known of a live segment.
type segmentInfo struct {
	seq uint64
	// before is the last index of the log when the segment was begun.
	before raft.Index
	// begin, used and size are in bytes; see segment.
	begin, used, size int64
}

// empty tells whether the segment has no frame.
func (i segmentInfo) empty() bool { return i.used == i.begin }

func (s *liveSegments) set(list []segmentInfo, compacted raft.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.list, s.mu.compacted = list, compacted
}

// last describes the segment that the writer writes to.
func (s *liveSegments) last() segmentInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.list[len(s.mu.list)-1]
}

// append adds the segment that the writer writes to from now on.
func (s *liveSegments) append(info segmentInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.list = append(s.mu.list, info)
}

// grown says how long the last segment is now.
func (s *liveSegments) grown(used, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := &s.mu.list[len(s.mu.list)-1]
	info.used, info.size = used, size
}

// size returns the number of segments, and how many bytes they hold.
func (s *liveSegments) size() (segments int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, info := range s.mu.list {
		bytes += info.used
	}
	return len(s.mu.list), bytes
}

// compact says that no entry up to index is needed any more.
func (s *liveSegments) compact(index raft.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.compacted = max(s.mu.compacted, index)
}

// compacted returns the highest index that compact was called with.
func (s *liveSegments) compacted() raft.Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.compacted
}

// obsolete returns the oldest segment if no entry in it is needed: all that were
// alive when the next one was begun are compacted.
func (s *liveSegments) obsolete() (info segmentInfo, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The next one must have a durable frame, which repeats the hard state.
	if len(s.mu.list) < 2 || s.mu.list[1].empty() {
		return info, false
	}
	return s.mu.list[0], s.mu.list[1].before <= s.mu.compacted
}

// removeOldest drops the oldest segment from the list.
func (s *liveSegments) removeOldest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.list = s.mu.list[1:]
}
