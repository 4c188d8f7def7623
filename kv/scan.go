package kv

import (
	"bytes"
	"strings"

	"balsa.example/kv/run"
)

// Scan calls yield for each revision from one on, in order, with all its events as they happened,
// until yield returns false or the revision is reached that the store was at when Scan was called.
// Events have no Prev; they never change, and may be kept. It fails with ErrCompacted if a part of
// that was compacted before Scan was called. Any goroutine may call it.
//
// Each revision has events, but for the one at which a store goes on that was restored with a higher revision than
// its history has (Totals.MoveOn). That is the compacted one, until there is another.
func (s *Store) Scan(from uint64, yield func(revision uint64, events []Event) bool) error {
	s.mu.RLock()
	last, compacted := s.revision, s.compacted
	if from >= compacted {
		s.pins.add(from) // under the lock, so that no purge comes in between
	}
	s.mu.RUnlock()
	if from < compacted {
		return ErrCompacted
	}
	defer s.pins.remove(from)
	var events []Event
	first := from == compacted && from > 0 // the next revision is the compacted one, or that has no events
	empty := func() (goOn bool) {
		first = false
		return yield(from, nil)
	}
	err := s.history.Scan(from, func(rec *run.Record) bool {
		if rec.Mod > last || first && rec.Mod > from && !empty() {
			return false
		}
		first = false
		events = append(events, eventOf(rec))
		if !rec.Last {
			return true
		}
		whole := events
		events = nil
		return yield(rec.Mod, whole)
	})
	if err == nil && first {
		empty()
	}
	return err
}

// eventOf returns the event of a record, with which it shares no memory.
func eventOf(rec *run.Record) Event {
	own := *rec
	own.Key, own.Value = bytes.Clone(rec.Key), bytes.Clone(rec.Value)
	e := Event{Entry: entryOf(&own), Deleted: rec.Deleted}
	if e.Deleted {
		e.Entry = Entry{Key: e.Key, ModRevision: e.ModRevision}
	}
	return e
}

// Previous returns what a key held before the event that changed it at a revision, nil if it was
// absent. It may be kept: it shares no memory with the key or the history, of which it would keep a
// large block. It fails with ErrCompacted if that was compacted. Any goroutine may call it.
func (s *Store) Previous(key string, revision uint64) (*Entry, error) {
	s.mu.RLock()
	if revision < s.compacted || revision == 0 {
		s.mu.RUnlock()
		return nil, ErrCompacted
	}
	s.pins.add(revision - 1)
	slot := s.index.Find(key)
	var found row
	ok := false
	if slot != 0 {
		found, ok = s.row(slot, key, revision-1)
	}
	s.mu.RUnlock()
	defer s.pins.remove(revision - 1)
	if !ok {
		return nil, nil
	}
	e, err := s.entry(&found, true)
	e.Key, e.Value = strings.Clone(e.Key), bytes.Clone(e.Value)
	return &e, err
}
