package kv

import (
	"bytes"
	"cmp"
	"crypto/sha256"
)

// Keys that are sorted by their values, and returned without them, may be many, and MaxBytes says nothing of their
// values. If those have too many bytes together, only the beginning of each is held, with the hash of the whole. Two
// values that begin alike and are not the same are read again where they are compared.

const (
	// sortedBytes is how much a range holds of values at most, but for leastHeld of each.
	sortedBytes = 32 << 20
	leastHeld   = 256
)

// wholeValue is what a row knows of a value of which it holds the beginning.
type wholeValue struct{ sum [sha256.Size]byte }

// hold reads the value of the row that was kept last, if it is only sorted by, and holds of it what there is room for.
func (g *gatherer) hold() error {
	if g.op.Sort != SortByValue || !g.op.KeysOnly {
		return nil
	}
	last := &g.rows[len(g.rows)-1]
	if err := g.s.complete(last, true); err != nil {
		return err
	}
	if g.cutAt > 0 {
		last.cut(g.cutAt)
	} else {
		last.Value = bytes.Clone(last.Value) // it may be a part of a large block of memory
	}
	if g.held += len(last.Value); g.held <= g.mostHeld {
		return nil
	}
	// Half of the room is for rows that are to come. Where that is too little for all, it grows with them.
	g.cutAt = max(g.s.sortedBytes/2/len(g.rows), leastHeld)
	for i := range g.rows {
		g.rows[i].cut(g.cutAt)
	}
	g.heldBytes()
	g.mostHeld = max(g.s.sortedBytes, 2*g.held)
	return nil
}

// heldBytes counts what is held of values that are only sorted by.
func (g *gatherer) heldBytes() {
	if g.held = 0; g.op.Sort != SortByValue || !g.op.KeysOnly {
		return
	}
	for i := range g.rows {
		g.held += len(g.rows[i].Value)
	}
}

// cut leaves the first n bytes of a value.
func (r *row) cut(n int) {
	if len(r.Value) <= n {
		r.Value = bytes.Clone(r.Value)
		return
	}
	if r.all == nil {
		r.all = &wholeValue{sha256.Sum256(r.Value)}
	}
	r.Value = bytes.Clone(r.Value[:n])
}

// compareValues compares the values of rows, of which the beginning may be held. An error of the disk goes to err.
func (s *Store) compareValues(a, b *row, err *error) int {
	n := min(len(a.Value), len(b.Value))
	if c := bytes.Compare(a.Value[:n], b.Value[:n]); c != 0 || a.all == nil && b.all == nil {
		return cmp.Or(c, cmp.Compare(len(a.Value), len(b.Value)))
	}
	switch {
	case a.all == nil && len(a.Value) == n: // all of a is the beginning of b, which is longer
		return -1
	case b.all == nil && len(b.Value) == n:
		return 1
	case a.all != nil && b.all != nil && a.all.sum == b.all.sum:
		return 0
	}
	return bytes.Compare(s.valueOf(a, err), s.valueOf(b, err))
}

// valueOf reads the value of a row.
func (s *Store) valueOf(r *row, err *error) []byte {
	if r.all == nil || *err != nil {
		return r.Value
	}
	rec, failed := s.read(r.Key, r.ModRevision, r.ref)
	if failed != nil {
		*err = failed
	}
	return rec.Value
}
