package kv

import "balsa.example/kv/index"

// Txn executes a transaction. A transaction that is refused has changed nothing. An error is
// one of the disk: then this replica cannot tell what the others do or answer, and must stop. wall is the
// leader's wall time, for people.
func (s *Store) Txn(t *Txn, wall int64) (TxnResult, error) {
	if code := t.Check(); code != CodeOK {
		return TxnResult{Code: code, Revision: s.revision}, nil
	}
	s.writer.Lock()
	defer s.writer.Unlock()
	p := planner{s: s}
	pl, code, err := p.plan(t)
	if err == nil && code == CodeOK {
		code, err = p.readKept()
	}
	if err != nil || code != CodeOK {
		return TxnResult{Code: code, Revision: s.revision}, err
	}
	x := executor{s: s, w: s.begin(p.changes, wall), at: s.revision, room: maxResultBytes}
	r := x.run(pl)
	if x.steps > 1 {
		x.done.txns = 1
	}
	s.count(x.done)
	return r, x.err
}

// executor executes a plan.
type executor struct {
	s   *Store
	w   revisionWriter
	at  uint64 // the store's revision, as the operations see it: the new one after the first change
	err error  // of the disk: a part of the result is missing
	// room is how many bytes of keys and values the result may still have; 0 or less: none. Each replica
	// makes the result, so it must fit into memory whatever is changed or read.
	room  int64
	steps int // those of nested transactions included
	done  operations
}

// maxResultBytes bounds what a transaction gives back of previous values and of ranges, with all that
// are nested in it. The entry that reaches it is the last: what is beyond is left out, with More set. Two of
// the largest values always have room.
//
// Programs with different bounds execute a transaction alike, and only tell less or more of it: what a
// session keeps of a result that reaches the bound is the code alone, in all of them.
const maxResultBytes = 17 << 20

func (x *executor) run(pl *plan) TxnResult {
	r := TxnResult{Succeeded: pl.succeeded, Responses: make([]OpResult, len(pl.steps))}
	for i := range pl.steps {
		st := &pl.steps[i]
		if st.changed {
			x.at = x.w.revision
		}
		switch {
		case st.op.Put != nil:
			r.Responses[i].Put = x.put(st)
		case st.op.Delete != nil:
			r.Responses[i].Delete = x.delete(st)
		case st.op.Range != nil:
			r.Responses[i].Range = x.rangeKeys(st.op.Range)
		default:
			nested := x.run(st.nested)
			r.Responses[i].Txn = &nested
			continue
		}
		x.steps++
	}
	r.Revision = x.at
	return r
}

func (x *executor) put(st *step) *PutResult {
	op, r := st.op.Put, &PutResult{Revision: x.at}
	slot := x.s.index.Find(op.Key)
	old := x.s.head(slot)
	value, lease := op.Value, op.Lease
	if op.IgnoreValue {
		value = st.value
	}
	if op.Prev && !old.Deleted {
		if r.More = x.room <= 0; !r.More {
			prev := x.prev(op.Key, old)
			r.Prev = &prev
		}
	}
	if op.IgnoreLease {
		lease = old.Lease
	}
	x.w.write(slot, op.Key, value, lease, false)
	return r
}

func (x *executor) delete(st *step) *DeleteResult {
	x.done.deletes++
	r := &DeleteResult{Deleted: int64(len(st.slots)), Revision: x.at}
	for _, slot := range st.slots {
		key := x.s.index.Key(slot)
		if st.op.Delete.Prev && x.room > 0 {
			r.Prev = append(r.Prev, x.prev(key, x.s.index.Head(slot)))
		}
		x.w.write(slot, key, nil, 0, true)
	}
	r.More = st.op.Delete.Prev && len(r.Prev) < len(st.slots)
	return r
}

func entryBytes(e *Entry) int64 { return int64(len(e.Key) + len(e.Value)) }

// prev returns what a key holds, for which there is room.
func (x *executor) prev(key string, h index.Head) Entry {
	rec, err := x.s.read(key, h.Mod, h.Ref)
	if err != nil {
		x.err = err
		return Entry{Key: key, Version: h.Version, CreateRevision: h.Create, ModRevision: h.Mod, Lease: h.Lease}
	}
	e := entryOf(&rec)
	x.room -= entryBytes(&e)
	return e
}

func (x *executor) rangeKeys(op *RangeOp) *RangeResult {
	x.done.ranges++
	at := x.at
	if op.Revision != 0 {
		at = op.Revision
	}
	bounded := *op
	_, single := op.One()
	switch {
	case single && op.KeysOnly: // it always has room: the transaction itself has the key
	case x.room <= 0:
		bounded.CountOnly = true
	case op.MaxBytes == 0 || op.MaxBytes > x.room:
		bounded.MaxBytes = x.room
	}
	r, err := x.s.collectAt(&bounded, at)
	if err != nil {
		x.err = err
	}
	r.More = r.More || bounded.CountOnly && !op.CountOnly && r.Count > 0
	for i := range r.Entries {
		x.room -= entryBytes(&r.Entries[i])
	}
	r.Revision = x.at
	return &r
}

// maxDeleteKeysBytes bounds the keys that DeleteKeys removes in one revision, each with deleteOverhead. All of a revision
// is in one run, which has each key twice, in its record and in the index, and ends before 4 GiB. The bound is part of
// what commands mean, so that it never changes. It is not lower since programs without it have removed as much in one
// revision. With more they ended above 4 GiB, and mostly made no checkpoint any more above 2. Keys that hardly exceed the
// bound, or that begin alike, they could remove in one revision: then they differ from this program. The version of commands
// does not decide between the two: a log at which such programs end could never be executed then.
const maxDeleteKeysBytes = 31 << 26

// DeleteKeys removes keys in one revision, as the end of a lease does: those of them that
// exist. Where they have more than maxDeleteKeysBytes it takes several. It returns how many they are.
func (s *Store) DeleteKeys(keys []string, wall int64) int {
	s.writer.Lock()
	defer s.writer.Unlock()
	var slots []index.Slot
	all, bytes := 0, int64(0)
	for _, key := range keys {
		slot := s.index.Find(key)
		if slot == 0 || s.index.Head(slot).Deleted {
			continue
		}
		if bytes += int64(len(key) + deleteOverhead); bytes > s.deleteKeysBytes {
			s.deleteSlots(slots, wall)
			slots, bytes = slots[:0], int64(len(key)+deleteOverhead)
		}
		slots = append(slots, slot)
		all++
	}
	s.deleteSlots(slots, wall)
	return all
}

// deleteSlots removes keys in one revision.
func (s *Store) deleteSlots(slots []index.Slot, wall int64) {
	if len(slots) == 0 {
		return
	}
	s.count(operations{deletes: uint64(len(slots))})
	w := s.begin(len(slots), wall)
	for _, slot := range slots {
		w.write(slot, s.index.Key(slot), nil, 0, true)
	}
}
