package kv

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// changes are what a list of operations can change, with the transactions in it, whichever
// branches these take. Each change has the number of the operation in the list that it comes
// from.
type changes struct {
	puts    []putChange
	deletes []deleteChange
}

type putChange struct {
	key    string
	number int
}

type deleteChange struct {
	Span
	number int
}

// changesOf returns the changes of a list, or ErrDuplicateKey if two of its operations may
// change one key: both put it, or one does and the other deletes it. Then and Else of one
// transaction may change the same key, since only one of them is executed. Two deletes may
// overlap: the second finds nothing. It takes time n log n for each level of nesting.
func changesOf(ops []TxnOp) (c changes, err error) {
	for i := range ops {
		switch op := &ops[i]; {
		case op.Put != nil:
			c.puts = append(c.puts, putChange{op.Put.Key, i})
		case op.Delete != nil && !op.Delete.Empty():
			c.deletes = append(c.deletes, deleteChange{op.Delete.Span, i})
		case op.Txn != nil:
			for _, branch := range [][]TxnOp{op.Txn.Then, op.Txn.Else} {
				nested, err := changesOf(branch)
				if err != nil {
					return c, err
				}
				c.add(nested, i)
			}
		}
	}
	if len(ops) > 1 && len(c.puts) > 0 && len(c.puts)+len(c.deletes) > 1 {
		return c, c.check()
	}
	return c, nil
}

// add takes over the changes of a branch of the transaction with a number.
func (c *changes) add(nested changes, number int) {
	for _, p := range nested.puts {
		c.puts = append(c.puts, putChange{p.key, number})
	}
	for _, d := range nested.deletes {
		c.deletes = append(c.deletes, deleteChange{d.Span, number})
	}
}

// check compares the changes of different operations. It goes through puts and deletes in the
// order of keys. Of the deletes that have begun at or before a key, it knows the one that goes
// furthest, and the one that goes furthest of all other operations.
func (c *changes) check() error {
	slices.SortFunc(c.puts, func(a, b putChange) int {
		return cmp.Or(strings.Compare(a.key, b.key), cmp.Compare(a.number, b.number))
	})
	slices.SortFunc(c.deletes, func(a, b deleteChange) int { return strings.Compare(a.From, b.From) })
	var furthest, second *deleteChange
	begun := 0
	for i, p := range c.puts {
		if i > 0 && c.puts[i-1].key == p.key && c.puts[i-1].number != p.number {
			return fmt.Errorf("key %q: %w", p.key, ErrDuplicateKey)
		}
		for ; begun < len(c.deletes) && c.deletes[begun].From <= p.key; begun++ {
			furthest, second = further(&c.deletes[begun], furthest, second)
		}
		for _, d := range []*deleteChange{furthest, second} {
			if d != nil && d.number != p.number && d.Contains(p.key) {
				return fmt.Errorf("key %q: %w", p.key, ErrDuplicateKey)
			}
		}
	}
	return nil
}

// further puts a delete in its place among the two that go furthest. These are of different
// operations.
func further(d, furthest, second *deleteChange) (*deleteChange, *deleteChange) {
	switch {
	case furthest == nil || beyond(d, furthest):
		if furthest != nil && furthest.number != d.number {
			second = furthest
		}
		return d, second
	case d.number != furthest.number && (second == nil || beyond(d, second)):
		return furthest, d
	}
	return furthest, second
}

// beyond tells whether a ends behind b.
func beyond(a, b *deleteChange) bool {
	return b.To != "" && (a.To == "" || a.To > b.To)
}
