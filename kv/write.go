package kv

import (
	"unsafe"

	"balsa.example/kv/index"
	"balsa.example/kv/run"
)

// revisionWriter writes the changes of one revision.
type revisionWriter struct {
	s        *Store
	revision uint64
	wall     int64
	changes  int // that are still to come; the last one ends the revision
	// watched tells whether events are wanted, and not too many. That is decided once for the whole revision.
	watched bool
	events  []Event
}

// begin returns the writer of the next revision, which has a number of changes, at least 1.
func (s *Store) begin(changes int, wall int64) revisionWriter {
	w := revisionWriter{s: s, revision: s.revision + 1, wall: wall, changes: changes}
	w.watched = s.publish != nil && changes > 0 && changes <= maxEvents && s.publish.Active()
	return w
}

// maxEvents is how many events of a revision are made at most. Where there are more, as after a delete of very many
// keys, watchers find them in the history, as they do where more events wait than there is room for.
const maxEvents = 1 << 17

// write puts or deletes one key. slot is the key's, 0 if the index does not know it. The
// revision becomes visible with its last change.
func (w *revisionWriter) write(slot index.Slot, key string, value []byte, lease int64, deleted bool) index.Head {
	s := w.s
	var old index.Head // of a key that does not exist it is empty but for Ref and Mod
	if slot != 0 {
		old = s.index.Head(slot)
	} else {
		old.Deleted = true
	}
	h := index.Head{Mod: w.revision, Deleted: deleted}
	switch {
	case deleted:
		value = nil // a Delete may have one, which means nothing
	case old.Deleted:
		h.Create, h.Version, h.Lease = w.revision, 1, lease
	default:
		h.Create, h.Version, h.Lease = old.Create, old.Version+1, lease
	}
	w.changes--
	rec := run.Record{
		Key: bytesOf(key), Value: value, Mod: h.Mod, Create: h.Create, Version: h.Version, Lease: h.Lease,
		Wall: w.wall, Deleted: deleted, Last: w.changes == 0,
	}
	h.Ref = s.history.Append(&rec) // rec then shares the memory of the history

	s.mu.Lock()
	if slot == 0 {
		s.index.Insert(key, h)
	} else {
		s.index.Replace(slot, h)
	}
	s.account(old, h)
	if deleted {
		s.setMark(markOf(key), w.revision)
	} else {
		s.puts++
		s.putBytes += uint64(len(key) + len(value))
	}
	if w.changes == 0 {
		s.revision, s.chain = w.revision, s.history.Chain()
	}
	s.mu.Unlock()

	if old.Lease != h.Lease {
		s.moveLease(key, old.Lease, h.Lease)
	}
	if s.publish != nil {
		w.event(&rec)
	}
	return h
}

// account keeps the totals when a key's newest version is replaced. The old version counts
// for its run until it is purged.
func (s *Store) account(old, h index.Head) {
	if !old.Deleted {
		s.keys--
		s.bytes -= int64(old.Ref.Size)
	}
	if !h.Deleted {
		s.keys++
		s.bytes += int64(h.Ref.Size)
	}
	s.live[h.Ref.Run] += int64(h.Ref.Size)
}

func (s *Store) moveLease(key string, from, to int64) {
	if from != 0 {
		s.leases.Detach(from, key)
	}
	if to != 0 {
		_ = s.leases.Attach(to, key) // there was room when the command began
	}
}

// event adds the event of a change, and publishes all of the revision with the last one. What the
// key held before is left to those who want it: it may have to be read from a file.
func (w *revisionWriter) event(rec *run.Record) {
	if w.watched {
		w.events = append(w.events, Event{Entry: entryOf(rec), Deleted: rec.Deleted})
	}
	if w.changes == 0 {
		w.s.publish.Publish(w.revision, w.events)
	}
}

// entryOf returns the entry of a record, with whose memory it shares the key and the value.
func entryOf(rec *run.Record) Entry {
	return Entry{
		Key: Alias(rec.Key), Value: rec.Value, Version: rec.Version,
		CreateRevision: rec.Create, ModRevision: rec.Mod, Lease: rec.Lease,
	}
}

// bytesOf returns the bytes of a string, which must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
