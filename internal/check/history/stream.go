package history

import (
	"fmt"

	"balsa.example/internal/check/naive"
	"balsa.example/kv"
)

// Stream is what one watcher was told, in the order in which it was told. A watcher that resumes
// at another server has one Stream.
type Stream struct {
	kv.Span
	// From is the first revision that it asked for. One that watches from now on asks for the
	// revision behind that of its creation.
	From              uint64
	NoPuts, NoDeletes bool
	Prev              bool // it asked for what the keys held before
	Batches           []Batch
	// Until is the revision up to which it must have been told of everything; 0: it was stopped
	// anywhere.
	Until uint64
}

// Batch is one message to a watcher: events, of one or more whole revisions; or that all up to
// Progress have been sent, without events; or that the watch has ended because everything below
// Compacted is gone.
type Batch struct {
	Events              []kv.Event
	Progress, Compacted uint64
}

// CheckStream returns why a watcher was told something wrong: a gap, a repetition, a wrong order,
// a revision in parts, a progress too early, or an end by compaction that there was no reason for.
// committed are the events of all revisions from 2 on, with what the keys held before; compacted is
// the highest compaction that was asked for.
func CheckStream(s *Stream, committed [][]kv.Event, compacted uint64) error {
	w := watcher{s: s, committed: committed, next: max(s.From, 2)}
	for i, b := range s.Batches {
		if w.ended {
			return fmt.Errorf("batch %d comes after the end: %s", i, naive.Text(b))
		}
		if err := w.batch(b, compacted); err != nil {
			return fmt.Errorf("batch %d of a watcher of %q from %d: %w", i, s.Span, s.From, err)
		}
	}
	if missing, ok := w.upTo(s.Until); ok && !w.ended {
		return fmt.Errorf("a watcher of %q from %d was never told of revision %d", s.Span, s.From, missing)
	}
	return nil
}

// watcher is a watcher at some point of its stream.
type watcher struct {
	s         *Stream
	committed [][]kv.Event
	next      uint64 // the first revision of which it has not been told
	ended     bool
}

// wanted returns what the watcher wants to know of a revision.
func (w *watcher) wanted(revision uint64) (events []kv.Event) {
	for _, e := range w.committed[revision-2] {
		if !w.s.Contains(e.Key) || e.Deleted && w.s.NoDeletes || !e.Deleted && w.s.NoPuts {
			continue
		}
		if !w.s.Prev {
			e.Prev = nil
		}
		events = append(events, e)
	}
	return events
}

// upTo returns the first revision up to one that the watcher wants and has not been told of.
func (w *watcher) upTo(revision uint64) (missing uint64, ok bool) {
	for r := w.next; r <= min(revision, uint64(len(w.committed))+1); r++ {
		if len(w.wanted(r)) > 0 {
			return r, true
		}
	}
	return 0, false
}

func (w *watcher) batch(b Batch, compacted uint64) error {
	switch {
	case b.Compacted > 0:
		w.ended = true
		if b.Compacted > compacted {
			return fmt.Errorf("compacted at %d, but the last compaction is at %d", b.Compacted, compacted)
		}
		// Revision 1 has no events; who asks for it is told that it is gone all the same, as by etcd.
		fromFirst := w.s.From == 1 && w.next == 2
		if b.Compacted <= w.next && !(fromFirst && b.Compacted == 2) {
			return fmt.Errorf("compacted at %d, but the next revision %d is there", b.Compacted, w.next)
		}
	case b.Progress > 0:
		if b.Progress+1 < w.next {
			return fmt.Errorf("progress %d after revision %d", b.Progress, w.next-1)
		}
		if b.Progress > uint64(len(w.committed))+1 {
			return fmt.Errorf("progress %d, but revision %d is the last one", b.Progress, len(w.committed)+1)
		}
		if missing, ok := w.upTo(b.Progress); ok {
			return fmt.Errorf("progress %d, but revision %d was not sent", b.Progress, missing)
		}
		w.next = b.Progress + 1
	default:
		return w.events(b.Events)
	}
	return nil
}

// events compares the events of a batch with whole revisions.
func (w *watcher) events(events []kv.Event) error {
	if len(events) == 0 {
		return fmt.Errorf("is empty")
	}
	for len(events) > 0 {
		revision, n := events[0].ModRevision, 1
		for n < len(events) && events[n].ModRevision == revision {
			n++
		}
		switch missing, ok := w.upTo(revision - 1); {
		case revision < w.next:
			return fmt.Errorf("revision %d after %d", revision, w.next-1)
		case ok:
			return fmt.Errorf("revision %d, but revision %d was not sent", revision, missing)
		case revision > uint64(len(w.committed))+1:
			return fmt.Errorf("revision %d was not committed", revision)
		}
		if d := naive.DifferEvents(events[:n], w.wanted(revision)); d != "" {
			return fmt.Errorf("revision %d: %s", revision, d)
		}
		w.next, events = revision+1, events[n:]
	}
	return nil
}
