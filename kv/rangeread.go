package kv

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"balsa.example/kv/index"
)

// row is a key that a range has found. Of a version that is not the newest one the Entry has
// the key and ModRevision only, until the record was read.
type row struct {
	Entry
	ref   index.Ref
	whole bool // only the value is missing
}

// Range reads a span. Errors: ErrCompacted, ErrFutureRevision, and those of the disk. Any
// goroutine may call it. It holds the lock for 256 keys at a time.
func (s *Store) Range(op RangeOp) (RangeResult, error) {
	s.mu.RLock()
	present := s.revision
	at := present
	if op.Revision != 0 {
		at = op.Revision
	}
	code := s.readable(at)
	s.pins.add(at) // under the lock, so that no purge comes in between
	s.mu.RUnlock()
	defer s.pins.remove(at)
	if code != CodeOK {
		return RangeResult{Revision: present}, code.Err()
	}
	r, err := s.rangeAt(&op, at)
	r.Revision = present
	return r, err
}

// readable tells whether there is a revision to read: CodeOK, CodeCompacted or
// CodeFutureRevision.
func (s *Store) readable(revision uint64) Code {
	switch {
	case revision < s.compacted:
		return CodeCompacted
	case revision > s.revision:
		return CodeFutureRevision
	}
	return CodeOK
}

// rangeAt reads a span at a revision that stays readable meanwhile.
func (s *Store) rangeAt(op *RangeOp, at uint64) (r RangeResult, err error) {
	if key, ok := op.One(); ok {
		return s.rangeOne(op, key, at)
	}
	g := gatherer{s: s, op: op, at: at}
	g.countAtOnce()
	if err := g.gather(); err != nil {
		return r, err
	}
	if g.sorted() {
		if err := g.sort(); err != nil {
			return r, err
		}
	}
	r = RangeResult{Count: g.count, More: g.more}
	if op.Limit > 0 && int64(len(g.rows)) > op.Limit {
		g.rows, r.More = g.rows[:op.Limit], true
	}
	var size int64
	for i := range g.rows {
		e, err := s.entry(&g.rows[i], !op.KeysOnly)
		if err != nil {
			return r, err
		}
		r.Entries = append(r.Entries, e)
		size += int64(len(e.Key) + len(e.Value))
		if op.MaxBytes > 0 && size >= op.MaxBytes && i+1 < len(g.rows) {
			r.More = true
			break
		}
	}
	return r, nil
}

// rangeOne is rangeAt for a single key.
func (s *Store) rangeOne(op *RangeOp, key string, at uint64) (r RangeResult, err error) {
	s.mu.RLock()
	slot := s.index.Find(key)
	var found row
	ok := false
	if slot != 0 {
		found, ok = s.row(slot, key, at)
	}
	s.mu.RUnlock()
	if !ok {
		return r, nil
	}
	r.Count = 1
	if op.CountOnly {
		return r, nil
	}
	if fits, err := s.within(&found, op); err != nil || !fits {
		return r, err
	}
	e, err := s.entry(&found, !op.KeysOnly)
	if err == nil {
		r.Entries = []Entry{e}
	}
	return r, err
}

// row returns the row of a slot at a revision, and false if the key did not exist. The lock
// is held.
func (s *Store) row(slot index.Slot, key string, at uint64) (row, bool) {
	h := s.index.Head(slot)
	if h.Mod <= at {
		return row{
			Entry: Entry{Key: key, Version: h.Version, CreateRevision: h.Create, ModRevision: h.Mod, Lease: h.Lease},
			ref:   h.Ref, whole: true,
		}, !h.Deleted
	}
	mod, ref, deleted := s.index.At(slot, at)
	return row{Entry: Entry{Key: key, ModRevision: mod}, ref: ref}, ref.Run != 0 && !deleted
}

// complete reads the record of a row, if the row is not whole or its value is wanted.
func (s *Store) complete(r *row, value bool) error {
	if r.whole && !value {
		return nil
	}
	rec, err := s.read(r.Key, r.ModRevision, r.ref)
	if err != nil {
		return err
	}
	key := r.Key
	r.Entry = entryOf(&rec)
	r.Key, r.whole = key, true
	return nil
}

func (s *Store) entry(r *row, value bool) (Entry, error) {
	if value && r.Value != nil {
		return r.Entry, nil // read before, to sort
	}
	err := s.complete(r, value)
	if !value {
		r.Value = nil
	}
	return r.Entry, err
}

// within tells whether a row is within the bounds on revisions.
func (s *Store) within(r *row, op *RangeOp) (bool, error) {
	if op.MinMod > r.ModRevision || op.MaxMod != 0 && r.ModRevision > op.MaxMod {
		return false, nil
	}
	if op.MinCreate == 0 && op.MaxCreate == 0 {
		return true, nil
	}
	if err := s.complete(r, false); err != nil {
		return false, err
	}
	return op.MinCreate <= r.CreateRevision && (op.MaxCreate == 0 || r.CreateRevision <= op.MaxCreate), nil
}

// recordOverhead is what a record takes up besides its key and value, at most.
const recordOverhead = 80

// leastBytes is how many bytes the row has in a result, at least.
func (r *row) leastBytes(keysOnly bool) int64 {
	if keysOnly {
		return int64(len(r.Key))
	}
	return max(int64(len(r.Key)), int64(r.ref.Size)-recordOverhead)
}

// gatherer finds the rows of a range.
type gatherer struct {
	s     *Store
	op    *RangeOp
	at    uint64
	rows  []row
	bytes int64 // that the rows have at least in the result
	more  bool  // there are more rows than are wanted
	count int64
	// counted tells that count is known before any row is.
	counted bool
}

// countAtOnce counts the keys without a look at each, where rows are left out that would have
// to be looked at for that alone. The index can do so for its newest versions only.
func (g *gatherer) countAtOnce() {
	if g.op.NoCount || !g.op.CountOnly && g.op.Limit == 0 && g.op.MaxBytes == 0 {
		return
	}
	g.s.mu.RLock()
	defer g.s.mu.RUnlock()
	if g.s.index.Newest() <= g.at {
		g.count, g.counted = int64(g.s.index.Count(g.op.From, g.op.To)), true
	}
}

// sorted tells whether the rows are wanted in another order than that of keys.
func (g *gatherer) sorted() bool { return g.op.Sort != SortByKey || g.op.Descend }

// full tells whether no more rows are wanted. It is asked before a row is added.
func (g *gatherer) full() bool {
	op := g.op
	return !g.sorted() && (op.Limit > 0 && int64(len(g.rows)) >= op.Limit || op.MaxBytes > 0 && g.bytes >= op.MaxBytes)
}

// gather finds all rows that are wanted, in the order of keys, and counts all there are.
func (g *gatherer) gather() error {
	if g.counted && g.op.CountOnly {
		return nil
	}
	from, chunk := g.op.From, make([]row, 0, scanChunk)
	for more := true; more; {
		chunk = chunk[:0]
		from, more = g.scan(from, &chunk)
		for i := range chunk {
			if err := g.add(&chunk[i]); err != nil {
				return err
			}
		}
		if g.more && (g.op.NoCount || g.counted) {
			return nil
		}
	}
	return nil
}

// scan looks at up to scanChunk keys from one on, under the lock. It adds the rows that may be
// wanted to chunk. more is false at the end of the span; else next is where to go on.
func (g *gatherer) scan(from string, chunk *[]row) (next string, more bool) {
	seen := 0
	g.s.mu.RLock()
	defer g.s.mu.RUnlock()
	g.s.index.Span(from, g.op.To, func(slot index.Slot) bool {
		if seen++; seen > scanChunk {
			next, more = strings.Clone(g.s.index.Key(slot)), true
			return false
		}
		r, ok := g.s.row(slot, "", g.at) // the key is read if it is wanted
		if ok && !g.counted {
			g.count++
		}
		if ok && !g.op.CountOnly && !g.more {
			r.Key = strings.Clone(g.s.index.Key(slot))
			*chunk = append(*chunk, r)
		}
		return true
	})
	return next, more
}

// add takes a row, if it is within the bounds.
func (g *gatherer) add(r *row) error {
	fits, err := g.s.within(r, g.op)
	switch {
	case err != nil || !fits:
		return err
	case g.full():
		g.more = true
	default:
		g.rows = append(g.rows, *r)
		g.bytes += r.leastBytes(g.op.KeysOnly)
	}
	return nil
}

// sort orders the rows. Keys that are equal in it stay in the order of keys.
func (g *gatherer) sort() error {
	if g.op.Sort != SortByKey && g.op.Sort != SortByMod {
		for i := range g.rows {
			if err := g.s.complete(&g.rows[i], g.op.Sort == SortByValue); err != nil {
				return err
			}
		}
	}
	slices.SortStableFunc(g.rows, func(a, b row) int {
		if g.op.Descend {
			a, b = b, a
		}
		switch g.op.Sort {
		case SortByVersion:
			return cmp.Compare(a.Version, b.Version)
		case SortByCreate:
			return cmp.Compare(a.CreateRevision, b.CreateRevision)
		case SortByMod:
			return cmp.Compare(a.ModRevision, b.ModRevision)
		case SortByValue:
			return bytes.Compare(a.Value, b.Value)
		}
		return strings.Compare(a.Key, b.Key)
	})
	return nil
}
