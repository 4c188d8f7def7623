package kv

import (
	"bytes"
	"cmp"

	"balsa.example/kv/index"
	"balsa.example/kv/run"
)

// plan is what a transaction will do, found out before its first write. So a transaction
// that is refused has changed nothing.
type plan struct {
	succeeded bool
	steps     []step
}

// step is one operation of a plan.
type step struct {
	op      *TxnOp
	slots   []index.Slot // that a DeleteOp will remove
	nested  *plan
	changed bool   // a PutOp or DeleteOp that changes something
	value   []byte // of a PutOp with IgnoreValue: what the key has
}

// planner makes the plan of a transaction with all its nested ones.
type planner struct {
	s       *Store
	changes int
	bytes   int64 // at least what the records of the keys to delete will take
	removed map[index.Slot]bool
	leases  map[int64]int // new keys of each lease

	kept      []keptValue
	keptBytes int64 // their records will take so many bytes at least
}

// keptValue is the value of a PutOp with IgnoreValue: that of the key as it is.
type keptValue struct {
	*step
	head index.Head
}

// plan returns the plan of t, or why t is refused. An error is one of the disk.
func (p *planner) plan(t *Txn) (*plan, Code, error) {
	succeeded, err := p.s.holds(t.If)
	if err != nil {
		return nil, CodeOK, err
	}
	pl := &plan{succeeded: succeeded}
	ops := t.Then
	if !succeeded {
		ops = t.Else
	}
	pl.steps = make([]step, len(ops))
	for i := range ops {
		st := &pl.steps[i]
		st.op = &ops[i]
		if code, err := p.step(st); code != CodeOK || err != nil {
			return nil, code, err
		}
	}
	return pl, CodeOK, nil
}

func (p *planner) step(st *step) (code Code, err error) {
	switch op := st.op; {
	case op.Put != nil:
		st.changed = true
		return p.put(st), nil
	case op.Delete != nil:
		return p.delete(st), nil
	case op.Range != nil:
		if r := op.Range.Revision; r != 0 {
			return p.s.readable(r), nil
		}
		return CodeOK, nil
	case op.Txn != nil:
		st.nested, code, err = p.plan(op.Txn)
		return code, err
	}
	return CodeInvalid, nil
}

func (p *planner) put(st *step) Code {
	op := st.op.Put
	p.changes++
	old := p.s.head(p.s.index.Find(op.Key))
	if old.Deleted && (op.IgnoreValue || op.IgnoreLease) {
		return CodeNoKey
	}
	if op.IgnoreValue {
		p.kept = append(p.kept, keptValue{st, old})
		p.keptBytes += max(0, int64(old.Ref.Size)-recordNumbers)
	}
	return p.lease(op, old)
}

// recordNumbers bounds by how many bytes the records of two versions of a key differ that have the same value.
const recordNumbers = 64

// readKept reads the values that puts keep. More than a run can hold is refused: each replica would end as it executes
// that, and again as it replays the log. No replica has ever executed it, so that all do the same with every log. What
// may be proposed has a far lower bound (see maxKeptBytes).
func (p *planner) readKept() (Code, error) {
	if p.keptBytes > run.MaxRunBytes {
		return CodeTooLarge, nil
	}
	for _, k := range p.kept {
		rec, err := p.s.read(k.op.Put.Key, k.head.Mod, k.head.Ref)
		if err != nil {
			return CodeOK, err
		}
		k.value = rec.Value
	}
	return CodeOK, nil
}

// lease refuses to put a key that its lease cannot take.
func (p *planner) lease(op *PutOp, old index.Head) Code {
	if op.Lease == 0 || op.IgnoreLease {
		return CodeOK
	}
	room, err := p.s.leases.Room(op.Lease)
	if err != nil {
		return CodeNoLease
	}
	if p.leases == nil {
		p.leases = map[int64]int{}
	}
	if old.Lease == op.Lease {
		return CodeOK
	}
	if p.leases[op.Lease]++; p.leases[op.Lease] > room {
		return CodeLeaseFull
	}
	return CodeOK
}

// maxDeleteBytes bounds the records of what one transaction deletes. All of a revision is in one
// run, whose offsets have 32 bits. It is some 10 million keys of 40 bytes.
const maxDeleteBytes = 1 << 30

// deleteOverhead is about what a record of a delete has besides the key.
const deleteOverhead = 64

// delete refuses to remove more than one revision can hold.
func (p *planner) delete(st *step) Code {
	p.s.eachKey(st.op.Delete.Span, func(slot index.Slot) {
		if p.removed[slot] || p.bytes > maxDeleteBytes {
			return
		}
		p.bytes += int64(len(p.s.index.Key(slot)) + deleteOverhead)
		if p.removed == nil {
			p.removed = map[index.Slot]bool{}
		}
		p.removed[slot] = true
		st.slots = append(st.slots, slot)
	})
	st.changed = len(st.slots) > 0
	p.changes += len(st.slots)
	if p.bytes > maxDeleteBytes {
		return CodeTooLarge
	}
	return CodeOK
}

// eachKey calls do with the slot of each key of a span that exists. Only the goroutine that
// writes calls it, so it needs no lock.
func (s *Store) eachKey(span Span, do func(index.Slot)) {
	if key, ok := span.One(); ok {
		if slot := s.index.Find(key); slot != 0 && !s.index.Head(slot).Deleted {
			do(slot)
		}
		return
	}
	s.index.Span(span.From, span.To, func(slot index.Slot) bool {
		if !s.index.Head(slot).Deleted {
			do(slot)
		}
		return true
	})
}

// holds tells whether all compares hold. An error is one of the disk.
func (s *Store) holds(compares []Compare) (bool, error) {
	for i := range compares {
		if ok, err := s.compare(&compares[i]); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (s *Store) compare(c *Compare) (bool, error) {
	if key, ok := c.One(); ok {
		return s.compareKey(c, key, s.head(s.index.Find(key)))
	}
	found, ok, err := false, true, error(nil)
	s.index.Span(c.From, c.To, func(slot index.Slot) bool {
		if h := s.index.Head(slot); !h.Deleted {
			found = true
			ok, err = s.compareKey(c, s.index.Key(slot), h)
		}
		return ok && err == nil
	})
	if !found {
		return s.compareKey(c, "", index.Head{Deleted: true})
	}
	return ok, err
}

// compareKey tells whether a compare holds for a key.
func (s *Store) compareKey(c *Compare, key string, h index.Head) (bool, error) {
	if h.Deleted {
		return c.holds(nil), nil
	}
	e := Entry{Version: h.Version, CreateRevision: h.Create, ModRevision: h.Mod, Lease: h.Lease}
	if c.Target == TargetValue {
		rec, err := s.read(key, h.Mod, h.Ref)
		if err != nil {
			return false, err
		}
		e.Value = rec.Value
	}
	return c.holds(&e), nil
}

// holds tells whether a compare holds for a key; nil: an absent one.
func (c *Compare) holds(e *Entry) bool {
	if e == nil {
		if c.Target == TargetValue {
			return false
		}
		e = new(Entry)
	}
	order := 0
	switch c.Target {
	case TargetVersion:
		order = cmp.Compare(e.Version, c.Number)
	case TargetCreate:
		order = cmp.Compare(e.CreateRevision, c.Number)
	case TargetMod:
		order = cmp.Compare(e.ModRevision, c.Number)
	case TargetLease:
		order = cmp.Compare(e.Lease, int64(c.Number))
	case TargetValue:
		order = bytes.Compare(e.Value, c.Value)
	}
	switch c.Relation {
	case Equal:
		return order == 0
	case NotEqual:
		return order != 0
	case Greater:
		return order > 0
	case Less:
		return order < 0
	}
	return false
}
