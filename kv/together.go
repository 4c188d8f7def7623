package kv

import (
	"balsa.example/kv/index"
	"balsa.example/kv/run"
)

// together is how many keys are looked for at a time: see index.FindAll.
const together = 64

// Prepare looks at what the index has of some keys, so that DoOp finds that in the caches of the
// processor. It changes nothing.
func (s *Store) Prepare(keys []string) {
	var slots [together]index.Slot
	s.mu.RLock()
	defer s.mu.RUnlock()
	for len(keys) > 0 {
		n := min(len(keys), together)
		s.index.FindAll(keys[:n], slots[:n])
		keys = keys[n:]
	}
}

// TryGets is Get for many keys, where no disk is needed. It calls each for all of them, in their order;
// ok is false for one that needs the disk.
func (s *Store) TryGets(keys []string, each func(i int, r Result, ok bool)) {
	for from := 0; from < len(keys); from += together {
		s.tryTogether(keys[from:min(from+together, len(keys))], func(i int, r Result, ok bool) { each(from+i, r, ok) })
	}
}

// tryTogether is TryGets for at most together keys.
func (s *Store) tryTogether(keys []string, each func(i int, r Result, ok bool)) {
	var slots [together]index.Slot
	var results [together]Result
	var heads [together]index.Head
	s.mu.RLock()
	s.index.FindAll(keys, slots[:len(keys)])
	for i := range keys {
		results[i], heads[i] = s.presentIn(slots[i])
	}
	s.mu.RUnlock()
	var records [together]run.Record
	reader := s.history.RecordReader()
	for i := range keys {
		if !heads[i].Deleted {
			records[i], _ = reader.ReadMemory(heads[i].Ref)
		}
	}
	for i, key := range keys {
		switch h := &heads[i]; {
		case key == "":
			each(i, Result{Code: CodeEmptyKey, Revision: results[i].Revision}, true)
		case h.Deleted:
			each(i, results[i], true)
		case records[i].Mod != h.Mod:
			each(i, Result{}, false)
		default:
			each(i, found(results[i], &records[i]), true)
		}
	}
}
