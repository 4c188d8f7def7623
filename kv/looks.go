package kv

// The goroutine that executes the log does nothing else while it executes a transaction, and so it is at each replica, and
// again as the log is replayed. A transaction of some KiB can ask for thousands of looks at all keys: minutes of work where
// these are a million, and hours where they are compared by their values. So there is a bound to what is proposed.
// What is in the log is executed, whatever it takes.

const (
	// MaxLooks is how many looks at keys a transaction may take, some seconds of work. A delete of all that one revision can
	// hold is within it.
	MaxLooks = 1 << 24
	// valueLooks is what a look counts that reads the value.
	valueLooks = 16
)

// Looks returns about how many looks at keys a transaction takes if it is executed now, those of all branches
// together. Single keys count nothing. Any goroutine may call it.
func (s *Store) Looks(t *Txn) (n int64) {
	for i := range t.If {
		c := &t.If[i]
		looks := s.looksAt(c.Span)
		if c.Target == TargetValue {
			looks *= valueLooks
		}
		n += looks
	}
	for _, ops := range [][]TxnOp{t.Then, t.Else} {
		for i := range ops {
			switch op := &ops[i]; {
			case op.Range != nil:
				n += s.rangeLooks(op.Range)
			case op.Delete != nil:
				n += s.looksAt(op.Delete.Span)
			case op.Txn != nil:
				n += s.Looks(op.Txn)
			}
		}
	}
	return n
}

// rangeLooks is for a range. If that is neither sorted nor filtered it ends where the result has no room, which is that of
// the whole transaction, or at its limit; and the present keys are counted without a look.
func (s *Store) rangeLooks(op *RangeOp) int64 {
	looks := s.looksAt(op.Span)
	switch {
	case op.bounded() || op.Revision != 0:
		return looks
	case op.CountOnly:
		return 0
	case op.Sort == SortByValue:
		return looks * valueLooks
	case op.Sort == SortByKey:
		return min(looks, scanChunk)
	}
	return looks
}

// looksAt returns how many keys are in a span that is not of one key.
func (s *Store) looksAt(span Span) int64 {
	if _, single := span.One(); single || span.Empty() {
		return 0
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int64(s.index.Count(span.From, span.To))
}
