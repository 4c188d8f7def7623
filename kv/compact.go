package kv

import "balsa.example/kv/index"

// Compact forgets the history below a revision, which stays readable, with all that happened
// at it and later. That is how every replica sees it from then on. The memory and the files of
// what is forgotten are freed by Purge and by rewriting runs, on each replica in its own time.
func (s *Store) Compact(revision uint64) Code {
	s.writer.Lock()
	defer s.writer.Unlock()
	switch {
	case revision <= s.compacted:
		return CodeCompacted
	case revision > s.revision:
		return CodeFutureRevision
	}
	if s.publish != nil { // first: whoever cannot read any more is told from where on he can
		s.publish.Compacted(revision)
	}
	s.mu.Lock()
	s.compacted = revision
	s.mu.Unlock()
	return CodeOK
}

// Durable says that a checkpoint at which the store was compacted at a revision is durable.
func (s *Store) Durable(compacted uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable = compacted
}

// Purge takes up to about budget versions out of the index that compaction allows to forget,
// and tells whether there may be more. What a reader can see stays until it has ended, and what
// the replay of the log after a crash will need stays until a checkpoint is durable.
func (s *Store) Purge(budget int) (more bool) {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.Purge(s.pins.oldest(s.durable), budget, func(ref index.Ref) {
		s.notLive(ref)
		s.forgotten++
	})
}

// Purged returns a revision: what was overwritten or deleted before it is in the index no more. A
// delete before it that is the newest of its key is not either.
func (s *Store) Purged() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.Purged()
}

// DeadDeletes returns how many bytes of each run are deletions that OpenStore has met and the index
// does not refer to: see package state for why they are there.
func (s *Store) DeadDeletes() map[uint32]int64 { return s.deadDeletes }

// Located returns where the record of a key at a revision is, if the index refers to it.
func (s *Store) Located(key string, mod uint64) (at index.Ref, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.Version(s.index.Find(key), mod)
}

// Live tells whether the index refers to a record.
func (s *Store) Live(key string, mod uint64, ref index.Ref) bool {
	at, ok := s.Located(key, mod)
	return ok && at == ref
}

// Move says that a record is at another place from now on. It does nothing if the index does not
// refer to it any more.
func (s *Store) Move(key string, mod uint64, from, to index.Ref) {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index.Move(key, mod, from, to) {
		s.notLive(from)
		s.live[to.Run] += int64(to.Size)
	}
}

// notLive notes that the index does not refer to a record any more. Of a run to which it does not refer at all nothing
// is left. The locks are held.
func (s *Store) notLive(ref index.Ref) {
	if s.live[ref.Run] -= int64(ref.Size); s.live[ref.Run] == 0 {
		delete(s.live, ref.Run)
	}
}

// DurablyCompacted returns what Durable was told last.
func (s *Store) DurablyCompacted() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.durable
}

// LiveBytes returns how many bytes of each run the index refers to.
func (s *Store) LiveBytes(run uint32) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live[run]
}
