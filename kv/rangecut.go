package kv

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"
)

// Keys that are sorted by their values, and returned without them, may be many, and MaxBytes says nothing of their
// values. If those have too many bytes together, only the beginning of each is held, with the hash of the whole. Values
// that begin alike and are not the same are read again, by an external merge sort: each of them once for the part that it
// is sorted with, and once for each time that parts are merged.

const (
	// sortedBytes is how much a range holds of values at most, but for leastHeld of each. Half as much is for values that
	// are read again.
	sortedBytes = 32 << 20
	leastHeld   = 256
	// mostParts is how many parts are merged at a time. Each row is compared with the first ones of all of them.
	mostParts = 8
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
	// Half of the room is for rows that are to come. Where that is too little for all, it grows with them. What is held of
	// each never grows: all beginnings have one length, or they would have no order.
	cutAt := max(g.s.sortedBytes/2/len(g.rows), leastHeld)
	g.cutAt = min(cmp.Or(g.cutAt, cutAt), cutAt)
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

// compareHeld compares what is held of the values of rows. 0: they are the same, or begin alike.
func compareHeld(a, b *row) int {
	c := bytes.Compare(a.Value, b.Value)
	switch {
	case c != 0 || (a.all == nil) == (b.all == nil):
		return c
	case a.all == nil: // all of a is the beginning of b, which is longer
		return -1
	}
	return 1
}

// sortAlike sorts those of the rows that begin alike, which stand together, by their whole values.
func (g *gatherer) sortAlike() error {
	for rest := g.rows; len(rest) > 0; {
		n := 1
		for rest[0].all != nil && n < len(rest) && compareHeld(&rest[0], &rest[n]) == 0 {
			n++
		}
		alike := rest[:n]
		if slices.ContainsFunc(alike[1:], func(r row) bool { return r.all.sum != alike[0].all.sum }) {
			if err := g.mergeSort(alike); err != nil {
				return err
			}
		}
		rest = rest[n:]
	}
	return nil
}

// mergeSort sorts rows that begin alike.
func (g *gatherer) mergeSort(rows []row) error {
	ends, longest, err := g.sortParts(rows)
	if err != nil {
		return err
	}
	ways := min(max(g.s.sortedBytes/2/max(longest, 1), 2), mostParts)
	for len(ends) > 1 {
		var merged []int
		begin := 0
		for some := range slices.Chunk(ends, ways) {
			end := some[len(some)-1]
			if err := g.merge(rows, begin, some); err != nil {
				return err
			}
			merged, begin = append(merged, end), end
		}
		ends = merged
	}
	return nil
}

// sortParts sorts parts of rows, each of whose values fit into memory together. It returns the ends of the parts, and the
// length of the longest value.
func (g *gatherer) sortParts(rows []row) (ends []int, longest int, err error) {
	beginning, begin, held := rows[0].Value, 0, 0
	for i := range rows {
		r := &rows[i]
		if r.Value, err = g.readAgain(r); err != nil {
			return nil, 0, err
		}
		held, longest = held+len(r.Value), max(longest, len(r.Value))
		if held < g.s.sortedBytes/2 && i < len(rows)-1 {
			continue
		}
		part := rows[begin : i+1]
		slices.SortStableFunc(part, func(a, b row) int { return g.compare(a.Value, b.Value) })
		for j := range part {
			part[j].Value = beginning
		}
		ends, begin, held = append(ends, i+1), i+1, 0
	}
	return ends, longest, nil
}

// merge makes one part of several, of which the first begins at begin. Of each it holds one value.
func (g *gatherer) merge(rows []row, begin int, ends []int) error {
	type head struct {
		rest  []row
		value []byte // of the first of them
	}
	if len(ends) == 1 {
		return nil
	}
	var heads []head
	first := begin
	for _, end := range ends {
		value, err := g.readAgain(&rows[first])
		if err != nil {
			return err
		}
		heads, first = append(heads, head{rows[first:end], value}), end
	}
	merged := make([]row, 0, first-begin)
	for len(heads) > 1 {
		least := 0
		for i := range heads {
			if g.compare(heads[i].value, heads[least].value) < 0 { // of equal ones the first: it has the lower keys
				least = i
			}
		}
		h := &heads[least]
		before := h.rest[0]
		merged, h.rest = append(merged, before), h.rest[1:]
		switch {
		case len(h.rest) == 0:
			heads = slices.Delete(heads, least, least+1)
		case h.rest[0].all.sum != before.all.sum:
			var err error
			if h.value, err = g.readAgain(&h.rest[0]); err != nil {
				return err
			}
		}
	}
	copy(rows[begin:], append(merged, heads[0].rest...))
	return nil
}

// compare compares values in the order that is wanted.
func (g *gatherer) compare(a, b []byte) int {
	if g.op.Descend {
		a, b = b, a
	}
	return bytes.Compare(a, b)
}

// readAgain reads the value of a row, in memory of its own.
func (g *gatherer) readAgain(r *row) ([]byte, error) {
	g.readsAgain++
	rec, err := g.s.read(r.Key, r.ModRevision, r.ref)
	return bytes.Clone(rec.Value), err
}
