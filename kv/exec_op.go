package kv

import (
	"errors"

	"balsa.example/kv/index"
	"balsa.example/kv/run"
)

// DoOp executes an operation on one key. An operation that makes no sense is refused, in the
// same way on each replica, and changes nothing. wall is the leader's wall time, for people.
func (s *Store) DoOp(op Op, wall int64) Result {
	switch {
	case !op.Kind.valid():
		return Result{Code: CodeUnknownKind, Revision: s.revision}
	case op.Key == "":
		return Result{Code: CodeEmptyKey, Revision: s.revision}
	case op.Kind == Get:
		return s.Get(op.Key)
	}
	s.writer.Lock()
	defer s.writer.Unlock()
	slot := s.index.Find(op.Key)
	old := s.head(slot)
	if op.Attempt == Resend {
		s.mu.Lock()
		s.setMark(firstResendMark+markOf(op.Key), s.revision)
		s.mu.Unlock()
	}
	code := s.condition(op, old)
	if op.Kind == Delete && (code == CodeOK || code == CodeNoKey) {
		s.count(operations{deletes: 1})
	}
	if code != CodeOK {
		r := s.describe(old)
		r.Code, r.DeleteRevision = code, s.deleteMarks.of(op.Key)
		return r
	}
	w := s.begin(1, wall)
	h := w.write(slot, op.Key, op.Value, 0, op.Kind == Delete)
	if h.Deleted {
		return Result{Revision: s.revision}
	}
	return s.describe(h)
}

// head returns the newest version of a slot's key. Of slot 0 it is a deleted one.
func (s *Store) head(slot index.Slot) index.Head {
	if slot == 0 {
		return index.Head{Deleted: true}
	}
	return s.index.Head(slot)
}

// condition returns CodeOK if a Put or Delete may change the key, else why not.
func (s *Store) condition(op Op, old index.Head) Code {
	switch {
	case old.Deleted && (op.Kind == Delete || op.Version > 0 && !op.Unconditional):
		return CodeNoKey
	case !old.Deleted && op.Version != old.Version && !op.Unconditional:
		return CodeVersion
	case s.guarded(op) && s.lastChange(op.Key, old) > op.UnchangedSince:
		return CodeChanged
	}
	return CodeOK
}

// guarded tells whether op is executed only if its key is unchanged since a revision. A
// FirstAttempt is not, unless a Resend has come before it: see Attempt.
func (s *Store) guarded(op Op) bool {
	return op.UnchangedSince > 0 &&
		(op.Attempt != FirstAttempt || s.resendMarks.of(op.Key) >= op.UnchangedSince)
}

// lastChange returns the revision of the last change of a key. If the key is absent the
// revision may be too high (see marks).
func (s *Store) lastChange(key string, old index.Head) uint64 {
	if old.Deleted {
		return s.deleteMarks.of(key)
	}
	return old.Mod
}

// describe returns the result of a Get that found h, without the value.
func (s *Store) describe(h index.Head) Result {
	if h.Deleted {
		return Result{Code: CodeNoKey, Revision: s.revision}
	}
	return Result{Version: h.Version, CreateRevision: h.Create, ModRevision: h.Mod, Lease: h.Lease, Revision: s.revision}
}

// Get returns what DoOp of a Get would, without the log: CodeNoKey if the key is absent.
// The caller knows whether the state is fresh enough.
func (s *Store) Get(key string) Result {
	r, _ := s.GetEntry(key)
	return r
}

// GetEntry is Get, and tells why a record cannot be read.
func (s *Store) GetEntry(key string) (Result, error) {
	if key == "" {
		return Result{Code: CodeEmptyKey, Revision: s.Revision()}, nil
	}
	for {
		r, h := s.present(key)
		if h.Deleted {
			return r, nil
		}
		rec, err := s.read(key, h.Mod, h.Ref)
		switch {
		case errors.Is(err, ErrCompacted):
			continue // it was replaced, and compacted, and its run rewritten
		case err != nil:
			return Result{Code: CodeUnreadable, Revision: r.Revision}, err
		}
		return found(r, &rec), nil
	}
}

// found is the result of a Get that has read a record.
func found(r Result, rec *run.Record) Result {
	r.Version, r.CreateRevision, r.ModRevision, r.Lease = rec.Version, rec.Create, rec.Mod, rec.Lease
	if len(rec.Value) > 0 {
		r.Value = rec.Value
	}
	return r
}

// present returns what a key holds at the last complete revision.
func (s *Store) present(key string) (Result, index.Head) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.presentIn(s.index.Find(key))
}

// presentIn is present for the key of a slot, 0 for one that the index does not know. Caller holds mu.
func (s *Store) presentIn(slot index.Slot) (Result, index.Head) {
	h := s.head(slot)
	if slot != 0 && h.Mod > s.revision {
		mod, ref, deleted := s.index.At(slot, s.revision)
		h = index.Head{Mod: mod, Ref: ref, Deleted: deleted || ref.Run == 0}
	}
	return s.describe(h), h
}
