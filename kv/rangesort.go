package kv

import (
	"cmp"
	"slices"
	"strings"
)

// This file is what a range keeps that is sorted, until all of it is known.

// keep keeps rows to be sorted. With a limit the last of them go, all but one, which tells that
// there is more.
func (g *gatherer) keep(rows []row) error {
	for _, r := range rows {
		g.rows = append(g.rows, r)
		if err := g.hold(); err != nil {
			return err
		}
		if g.taken++; g.op.LimitFirst && g.op.Limit > 0 && g.taken > g.op.Limit {
			g.more = true
			return nil
		}
		if err := g.keepBytes(); err != nil {
			return err
		}
		if g.op.Limit == 0 || int64(len(g.rows))-g.op.Limit <= g.op.Limit {
			continue
		}
		if err := g.sort(); err != nil {
			return err
		}
		g.drop(int(g.op.Limit))
	}
	return nil
}

// keepBytes does the same after each row where MaxBytes bounds what is returned: the rows that are kept have twice as
// many bytes at most, and a few values. Values count where they are sorted by and returned. Others are not read yet.
func (g *gatherer) keepBytes() error {
	if g.op.MaxBytes == 0 {
		return nil
	}
	last := &g.rows[len(g.rows)-1]
	if g.op.Sort == SortByValue && !g.op.KeysOnly {
		if err := g.s.complete(last, true); err != nil {
			return err
		}
	}
	if g.added += g.returned(last); g.added <= g.op.MaxBytes {
		return nil
	}
	if err := g.sort(); err != nil {
		return err
	}
	n := 0
	for bytes := int64(0); n < len(g.rows) && bytes < g.op.MaxBytes; n++ {
		bytes += g.returned(&g.rows[n])
	}
	if n < len(g.rows) {
		g.drop(n)
	}
	return nil
}

// returned is how many bytes the entry of a row will have at least.
func (g *gatherer) returned(r *row) int64 {
	if g.op.KeysOnly {
		return int64(len(r.Key))
	}
	return entryBytes(&r.Entry)
}

// drop drops all rows, which are sorted, but the first n and one that tells of more.
func (g *gatherer) drop(n int) {
	clear(g.rows[n+1:])
	g.rows = g.rows[:n+1]
	g.known = len(g.rows)
	g.heldBytes()
}

// sort orders the rows. Keys that are equal in it stay in the order of keys.
func (g *gatherer) sort() error {
	if g.op.Sort != SortByMod {
		for i := g.known; i < len(g.rows); i++ {
			if g.rows[i].Value != nil {
				continue // read before, to count it
			}
			if err := g.s.complete(&g.rows[i], g.op.Sort == SortByValue); err != nil {
				return err
			}
		}
	}
	g.known, g.added = len(g.rows), 0
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
			return compareHeld(&a, &b)
		}
		return strings.Compare(a.Key, b.Key)
	})
	if g.cutAt > 0 {
		return g.sortAlike()
	}
	return nil
}
