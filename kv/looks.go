package kv

// The goroutine that executes the log does nothing else while it executes a transaction, and so it is at each replica, and
// again as the log is replayed. A transaction of some KiB can ask for thousands of looks at all keys: minutes of work where
// these are a million, and hours where they are compared by their values. So there is a bound to what is proposed.
// What is in the log is executed, whatever it takes.

const (
	// MaxLooks is how many looks at keys a transaction may take, some seconds of work. A delete of all that one revision can
	// hold is within it, unless there are many other keys that are deleted already.
	MaxLooks = 1 << 24
	// recordLooks is what a look counts that reads the record of the key, as it does for the value.
	recordLooks = 16
	// olderLooks is how many older versions of a key a search looks at, and about as many again where there are a great many.
	olderLooks = 32
)

// Looks returns about how many looks at keys a transaction takes if it is executed now, those of all branches
// together. What may end early counts in full. Single keys count nothing. Any goroutine may call it.
func (s *Store) Looks(t *Txn) (n int64) {
	for i := range t.If {
		c := &t.If[i]
		live, deleted := s.keysOf(c.Span)
		if c.Target == TargetValue {
			live *= recordLooks
		}
		n += live + deleted
	}
	for _, ops := range [][]TxnOp{t.Then, t.Else} {
		for i := range ops {
			switch op := &ops[i]; {
			case op.Range != nil:
				n += s.rangeLooks(op.Range)
			case op.Delete != nil:
				live, deleted := s.keysOf(op.Delete.Span)
				n += live + deleted
			case op.Txn != nil:
				n += s.Looks(op.Txn)
			}
		}
	}
	return n
}

// rangeLooks is for a range. Present keys are counted without a look at them. If the range is neither sorted nor filtered it
// ends at its limit, or where the result has no room, which is that of the whole transaction; but what is deleted
// takes no room.
func (s *Store) rangeLooks(op *RangeOp) int64 {
	live, deleted := s.keysOf(op.Span)
	all := live + deleted
	switch {
	case op.Revision != 0: // what is deleted now may have been there
		older := s.olderVersions()
		return all + min(all*olderLooks, older) + (recordLooks-1)*op.records(all, older)
	case op.CountOnly:
		return 0
	case op.Sort == SortByKey && !op.bounded():
		return min(live, scanChunk) + deleted
	}
	return all + (recordLooks-1)*op.records(live, 0)
}

// records returns of how many keys a range reads the records, beside those for the values that it returns. The index has all
// but the value of the newest version of a key, and only the revision of older ones. So many of these may be read.
func (op *RangeOp) records(keys, older int64) int64 {
	changed := min(keys, older)
	switch {
	case op.CountOnly:
		return 0
	case op.Sort == SortByValue:
		return keys
	case op.Sort == SortByVersion, op.Sort == SortByCreate, op.MinCreate != 0, op.MaxCreate != 0:
		return changed
	case op.KeysOnly && op.Limit > 0:
		return min(changed, op.Limit)
	case op.KeysOnly:
		return changed
	}
	return 0
}

// olderVersions returns how many older versions all keys have.
func (s *Store) olderVersions() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int64(s.index.Versions())
}

// keysOf returns how many keys are in a span that is not of one key, and how many deleted ones that are not purged yet:
// these are looked at as well.
func (s *Store) keysOf(span Span) (live, deleted int64) {
	if _, single := span.One(); single || span.Empty() {
		return 0, 0
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	n, gone := s.index.Tally(span.From, span.To)
	return int64(n), int64(gone)
}
