package kv

// ReadsOnly tells whether a transaction changes nothing, whichever branch it takes: it has ranges
// alone. A transaction with others nested in it counts as one that writes.
func (t *Txn) ReadsOnly() bool {
	for _, branch := range [][]TxnOp{t.Then, t.Else} {
		for i := range branch {
			if branch[i].Range == nil {
				return false
			}
		}
	}
	return true
}

// ReadTxn executes a transaction that ReadsOnly, without the log. All of it sees one revision. Any
// goroutine may call it. Errors are those of the disk, ErrTooLarge if the ranges have more than
// maxBytes of keys and values, and one key more, and ErrTooManyLooks, before anything is read.
func (s *Store) ReadTxn(t *Txn, maxBytes int64) (TxnResult, error) {
	if s.Looks(t) > MaxLooks {
		return TxnResult{}, ErrTooManyLooks
	}
	s.mu.RLock()
	at := s.revision
	s.pins.add(at) // under the lock, so that no purge comes in between
	s.mu.RUnlock()
	defer s.pins.remove(at)
	code := t.Check()
	if code == CodeOK && !t.ReadsOnly() {
		code = CodeInvalid
	}
	if code != CodeOK {
		return TxnResult{Code: code, Revision: at}, nil
	}
	r := TxnResult{Succeeded: true, Revision: at}
	ops := t.Then
	for i := range t.If {
		ok, err := s.compareAt(&t.If[i], at)
		if err != nil {
			return r, err
		}
		if !ok {
			r.Succeeded, ops = false, t.Else
			break
		}
	}
	for i := range ops {
		read, code, err := s.readOp(ops[i].Range, at, maxBytes)
		if err != nil || code != CodeOK {
			return TxnResult{Code: code, Revision: at}, err
		}
		if maxBytes <= 0 && len(read.Entries) > 0 {
			return r, ErrTooLarge
		}
		for i := range read.Entries {
			maxBytes -= entryBytes(&read.Entries[i])
		}
		r.Responses = append(r.Responses, OpResult{Range: read})
	}
	return r, nil
}

// compareBytes is what a compare reads of values at a time, and one value more.
const compareBytes = 1 << 20

// compareAt tells whether a compare holds at a revision that stays readable meanwhile.
func (s *Store) compareAt(c *Compare, at uint64) (bool, error) {
	op := RangeOp{Span: c.Span, Limit: scanChunk, MaxBytes: compareBytes, KeysOnly: c.Target != TargetValue, NoCount: true}
	for found := false; ; found = true {
		r, err := s.collectAt(&op, at)
		if err != nil {
			return false, err
		}
		if len(r.Entries) == 0 && !found {
			return c.holds(nil), nil
		}
		for i := range r.Entries {
			if !c.holds(&r.Entries[i]) {
				return false, nil
			}
		}
		if !r.More {
			return true, nil
		}
		op.From = r.Entries[len(r.Entries)-1].Key + "\x00"
	}
}

// readOp reads a range of a transaction at a revision, or at that which the range asks for. The
// result says that it is of the revision.
func (s *Store) readOp(op *RangeOp, at uint64, maxBytes int64) (*RangeResult, Code, error) {
	bounded := *op
	if op.MaxBytes == 0 || op.MaxBytes > maxBytes {
		bounded.MaxBytes = max(maxBytes, 1)
	}
	var r RangeResult
	var err error
	switch {
	case op.Revision == 0:
		r, err = s.collectAt(&bounded, at)
	case op.Revision > at:
		return nil, CodeFutureRevision, nil
	default:
		r, err = s.Range(bounded)
	}
	if err == ErrCompacted {
		return nil, CodeCompacted, nil
	}
	if r.More && bounded.MaxBytes != op.MaxBytes && (op.Limit == 0 || int64(len(r.Entries)) < op.Limit) {
		return nil, CodeOK, ErrTooLarge
	}
	r.Revision = at
	return &r, CodeOK, err
}
