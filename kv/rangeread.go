package kv

import (
	"errors"
	"strings"
	"sync"

	"balsa.example/kv/index"
	"balsa.example/kv/run"
)

// row is a key that a range has found. Of a version that is not the newest one the Entry has
// the key and ModRevision only, until the record was read.
type row struct {
	Entry
	ref   index.Ref
	whole bool        // only the value is missing
	all   *wholeValue // where only the beginning of the value is held
}

// Range reads a span. Errors: ErrCompacted, ErrFutureRevision, and those of the disk. Any
// goroutine may call it. It holds the lock for 256 keys at a time.
func (s *Store) Range(op RangeOp) (r RangeResult, err error) {
	err = s.pinned(&op, &r, func(at uint64) (RangeResult, error) { return s.collectAt(&op, at) })
	return r, err
}

// RangeEach is Range, but calls yield with each entry instead of returning it. The entry, and what it
// refers to, is good until yield returns. If there is an error, some entries were yielded, and others
// not.
func (s *Store) RangeEach(op RangeOp, yield func(*Entry)) (r RangeResult, err error) {
	err = s.pinned(&op, &r, func(at uint64) (RangeResult, error) { return s.rangeAt(&op, at, true, yield) })
	return r, err
}

// pinned calls read with the revision to read at, which stays readable meanwhile.
func (s *Store) pinned(op *RangeOp, r *RangeResult, read func(at uint64) (RangeResult, error)) (err error) {
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
	if err = code.Err(); err == nil {
		*r, err = read(at)
	}
	r.Revision = present
	return err
}

// collectAt reads a span at a revision that stays readable meanwhile.
func (s *Store) collectAt(op *RangeOp, at uint64) (RangeResult, error) {
	var entries []Entry
	r, err := s.rangeAt(op, at, false, func(e *Entry) {
		own := *e
		own.Key = strings.Clone(e.Key) // the index keeps 16 KiB of keys for one of them
		entries = append(entries, own)
	})
	r.Entries = entries
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

// rangeAt yields the entries of a span at a revision that stays readable meanwhile. reuse tells that
// none of them is kept.
func (s *Store) rangeAt(op *RangeOp, at uint64, reuse bool, yield func(*Entry)) (r RangeResult, err error) {
	if key, ok := op.One(); ok {
		return s.rangeOne(op, key, at, yield)
	}
	g := gatherers.Get().(*gatherer)
	defer g.release()
	*g = gatherer{
		s: s, op: op, at: at, reuse: reuse, yield: yield, chunk: g.chunk, refs: g.refs, records: s.history.RecordReader(), mostHeld: s.sortedBytes,
	}
	g.records.Reuse = reuse
	g.countAtOnce()
	if err := g.gather(); err != nil {
		return r, err
	}
	if g.sorted() {
		if err := g.sort(); err != nil {
			return r, err
		}
		if err := g.emit(g.rows); err != nil {
			return r, err
		}
	}
	return RangeResult{Count: g.count, More: g.more}, nil
}

// rangeOne is rangeAt for a single key.
func (s *Store) rangeOne(op *RangeOp, key string, at uint64, yield func(*Entry)) (r RangeResult, err error) {
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
		yield(&e)
	}
	return r, err
}

// row returns the row of a slot at a revision, and false if the key did not exist. The lock
// is held.
func (s *Store) row(slot index.Slot, key string, at uint64) (r row, ok bool) {
	ok = s.setRow(&r, slot, at)
	r.Key = key
	return r, ok
}

// setRow is row, into one that is empty, but for the key.
func (s *Store) setRow(r *row, slot index.Slot, at uint64) (ok bool) {
	h := s.index.Head(slot)
	if h.Mod <= at {
		r.Version, r.CreateRevision, r.ModRevision, r.Lease = h.Version, h.Create, h.Mod, h.Lease
		r.ref, r.whole = h.Ref, true
		return !h.Deleted
	}
	mod, ref, deleted := s.index.At(slot, at)
	r.ModRevision, r.ref = mod, ref
	return ref.Run != 0 && !deleted
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
	if r.fill(&rec); !value {
		r.Value = nil // or all rows that are to be sorted would hold one
	}
	return nil
}

// fill takes over what the record of the row says.
func (r *row) fill(rec *run.Record) {
	key := r.Key
	r.Entry = entryOf(rec)
	r.Key, r.whole = key, true
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

// gatherer finds the rows of a range.
type gatherer struct {
	s     *Store
	op    *RangeOp
	at    uint64
	yield func(*Entry)
	// reuse tells that no entry is kept.
	reuse bool
	rows  []row // those that may be wanted, if they are to be sorted
	known int   // so many of them have what they are sorted by, and are sorted
	added int64 // bytes of those that are not, if they are counted
	taken int64 // all that were ever in rows
	keys  int64 // that were yielded
	bytes int64 // of their keys and values
	more  bool  // there are more rows than are wanted
	count int64
	// counted tells that count is known before any row is.
	counted bool
	// held is how many bytes of values are held that are only sorted by, and mostHeld how many may be. cutAt is how much is
	// held of each at most; 0: all.
	held, mostHeld, cutAt int
	readsAgain            int // of values that begin alike

	chunk   []row
	refs    []run.Ref // of chunk
	records run.RecordReader
}

// gatherers keeps the memory of chunks.
var gatherers = sync.Pool{New: func() any { return new(gatherer) }}

// release lets the memory of the chunks be used again.
func (g *gatherer) release() {
	clear(g.chunk[:cap(g.chunk)])
	*g = gatherer{chunk: g.chunk[:0], refs: g.refs[:0]}
	gatherers.Put(g)
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

// sorted tells whether the rows are wanted in another order than that of keys, ascending or descending.
func (g *gatherer) sorted() bool { return g.op.Sort != SortByKey }

// full tells whether no more entries are wanted. It is asked before one is added.
func (g *gatherer) full() bool {
	return g.op.Limit > 0 && g.keys >= g.op.Limit || g.op.MaxBytes > 0 && g.bytes >= g.op.MaxBytes
}

// gather finds all rows that are wanted, in the order of keys, and counts all there are. It yields
// them if that is the order in which they are wanted. Else it keeps twice as many as are wanted at
// most, if there is a limit.
func (g *gatherer) gather() error {
	if g.counted && g.op.CountOnly {
		return nil
	}
	scan, next := g.scan, g.op.From
	if g.op.Descend && !g.sorted() {
		scan, next = g.scanDown, g.op.To
	}
	for more := true; more; {
		next, more = scan(next)
		wanted, err := g.wanted()
		if err != nil {
			return err
		}
		if g.sorted() {
			if g.more { // only counted any more
				continue
			}
			if err := g.keep(wanted); err != nil {
				return err
			}
		} else if err := g.emit(wanted); err != nil {
			return err
		}
		if g.more && (g.op.NoCount || g.counted) {
			return nil
		}
	}
	return nil
}

// wanted returns the rows of chunk that are within the bounds on revisions.
func (g *gatherer) wanted() ([]row, error) {
	if !g.op.bounded() {
		return g.chunk, nil
	}
	wanted := g.chunk[:0]
	for i := range g.chunk {
		switch fits, err := g.s.within(&g.chunk[i], g.op); {
		case err != nil:
			return nil, err
		case fits:
			wanted = append(wanted, g.chunk[i])
		}
	}
	return wanted, nil
}

// most is how many keys are looked at next: as many as are wanted, and one that tells of more.
func (g *gatherer) most() int {
	if g.op.Limit == 0 || g.more || g.sorted() || g.op.bounded() {
		return scanChunk
	}
	return int(min(scanChunk-1, g.op.Limit-g.keys)) + 1 // in this order: a limit may be the highest number
}

// scan puts into chunk the rows that may be wanted of up to scanChunk keys from one on. It holds the
// lock. more is false at the end of the span; else next is where to go on.
func (g *gatherer) scan(from string) (next string, more bool) {
	seen, most := 0, g.most()
	g.chunk = g.chunk[:0]
	g.s.mu.RLock()
	defer g.s.mu.RUnlock()
	g.s.index.Span(from, g.op.To, func(slot index.Slot) bool {
		if seen++; seen > most {
			next, more = strings.Clone(g.s.index.Key(slot)), true
			return false
		}
		g.look(slot)
		return true
	})
	return next, more
}

// scanDown is scan in descending order, for the keys below one.
func (g *gatherer) scanDown(below string) (next string, more bool) {
	seen, most := 0, g.most()
	g.chunk = g.chunk[:0]
	g.s.mu.RLock()
	defer g.s.mu.RUnlock()
	g.s.index.Descend(below, func(slot index.Slot) bool {
		key := g.s.index.Key(slot)
		if key < g.op.From {
			return false
		}
		g.look(slot)
		if seen++; seen == most {
			next, more = strings.Clone(key), key > g.op.From
			return false
		}
		return true
	})
	return next, more
}

// look counts a key, and puts its row into chunk if that may be wanted. The lock is held.
func (g *gatherer) look(slot index.Slot) {
	g.chunk = append(g.chunk, row{}) // in its place at once: a row is large to be copied
	r := &g.chunk[len(g.chunk)-1]
	ok := g.s.setRow(r, slot, g.at)
	if ok && !g.counted {
		g.count++
	}
	if !ok || g.op.CountOnly || g.more {
		g.chunk = g.chunk[:len(g.chunk)-1]
		return
	}
	r.Key = g.s.index.Key(slot)
}

// emit yields rows until the range is full.
func (g *gatherer) emit(rows []row) error {
	g.refs = g.refs[:0]
	for i := range rows {
		g.refs = append(g.refs, rows[i].ref)
	}
	for i := range rows {
		if g.full() {
			g.more = true
			return nil
		}
		r := &rows[i]
		if err := g.read(r, g.refs[i:]); err != nil {
			return err
		}
		g.keys++
		g.bytes += int64(len(r.Key) + len(r.Value))
		g.yield(&r.Entry)
	}
	return nil
}

// read completes a row, the first of those that refs are of.
func (g *gatherer) read(r *row, refs []run.Ref) (err error) {
	switch {
	case g.op.KeysOnly:
		err := g.s.complete(r, false)
		r.Value = nil
		return err
	case r.Value != nil:
		return nil // read before, to sort
	case r.whole:
		r.Value, err = g.records.Value(refs, r.ModRevision)
	default:
		err = g.readWhole(r, refs)
	}
	if errors.Is(err, run.ErrGone) {
		return g.s.complete(r, true) // it looks where the record is now
	}
	return err
}

// readWhole takes all that is known of a row from its record. The error is run.ErrGone if another one
// is there now.
func (g *gatherer) readWhole(r *row, refs []run.Ref) error {
	rec, err := g.records.Read(refs)
	if err == nil && rec.Mod != r.ModRevision {
		err = run.ErrGone
	}
	if err == nil {
		r.fill(&rec)
	}
	return err
}
