package state

import (
	"slices"
	"sync"

	"balsa.example/state/logtime"
)

// times remember at which log time the store was at which revision, for compaction by age. They
// are the same on all replicas.
type times struct {
	mu sync.Mutex
	timesImage
}

type timesImage struct {
	// wall is the latest of all stamps, in milliseconds since 1970: for people. It never goes back,
	// so that a time names one place in the history, though the clocks of two leaders differ.
	wall int64
	// stamped is the store's revision at the last stamp. It is not part of the state.
	stamped uint64
	marks   []timeMark
	// gap is how much log time lies between two marks, at least.
	gap logtime.Time
}

func (t *times) image() timesImage {
	t.mu.Lock()
	defer t.mu.Unlock()
	im := t.timesImage
	im.marks = slices.Clone(im.marks)
	return im
}

// timeMark says that the store had reached Revision by the log time At.
type timeMark struct {
	At       logtime.Time
	Revision uint64
}

const (
	// maxTimeMarks bounds the marks. When there are so many, every other one goes, and the gap
	// doubles: so they reach back as far as is asked for, and the older ones are coarser.
	maxTimeMarks = 1024
	firstGap     = logtime.Time(1e9)
)

// last returns the revision at the last stamp.
func (t *times) last() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stamped
}

func (t *times) add(s logtime.Stamp, revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wall, t.stamped = max(t.wall, s.Wall/1e6), revision
	n := len(t.marks)
	if n > 0 && (s.Log < t.marks[n-1].At+t.gap || revision == t.marks[n-1].Revision) {
		return
	}
	if n == maxTimeMarks {
		for i := range n / 2 {
			t.marks[i] = t.marks[2*i+1]
		}
		t.marks, t.gap = t.marks[:n/2], t.gap*2
	}
	t.marks = append(t.marks, timeMark{s.Log, revision})
}

// forget drops marks below a revision that was compacted. With fewer of them the gap may
// shrink again.
func (t *times) forget(compacted uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(t.marks) && t.marks[n].Revision < compacted {
		n++
	}
	t.marks = append(t.marks[:0], t.marks[n:]...)
	for len(t.marks) < maxTimeMarks/4 && t.gap > firstGap {
		t.gap /= 2
	}
}

// before returns the revision that the store had reached by a log time at the latest; 0 if that
// is not known.
func (t *times) before(at logtime.Time) (revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.marks {
		if m.At > at {
			break
		}
		revision = m.Revision
	}
	return revision
}
