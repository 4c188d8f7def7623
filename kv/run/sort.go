//balsa:pure

package run

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// sortItem is an entry that is sorted by key.
type sortItem struct {
	// head is eight bytes of the key behind what all keys share, with zeros for those that it lacks. It
	// decides nearly all comparisons, without a look at the keys, which are all over the memory.
	head uint64
	i    uint32 // of the entry
	rest uint32 // bytes of the key behind what all share; 9: more than head has
}

// sortEntries returns the order of entries by key. Those with the same key stay in the order that
// they have, which is by revision.
func sortEntries(entries []Entry) []uint32 {
	if len(entries) == 0 {
		return nil
	}
	shared := entries[0].Key
	for i := range entries {
		shared = shared[:commonPrefix(shared, entries[i].Key)]
	}
	items := make([]sortItem, len(entries))
	for i := range entries {
		var head [8]byte
		rest := copy(head[:], entries[i].Key[len(shared):])
		if len(entries[i].Key) > len(shared)+len(head) {
			rest = len(head) + 1
		}
		items[i] = sortItem{binary.BigEndian.Uint64(head[:]), uint32(i), uint32(rest)}
	}
	items = sortByHead(items)
	order := make([]uint32, 0, len(items))
	for len(items) > 0 {
		n := 1
		for n < len(items) && items[n].head == items[0].head {
			n++
		}
		sortAlike(items[:n], entries)
		for _, item := range items[:n] {
			order = append(order, item.i)
		}
		items = items[n:]
	}
	return order
}

// sortByHead sorts items by their heads: byte by byte from the last one on, each time without a change to
// the order of those that have the same byte. It may use the memory of items for something else.
func sortByHead(items []sortItem) []sortItem {
	var places [8][256]uint32
	for i := range items {
		for b := range places {
			places[b][byte(items[i].head>>(8*b))]++
		}
	}
	sorted := make([]sortItem, len(items))
	for b := range places {
		place := &places[b]
		if place[byte(items[0].head>>(8*b))] == uint32(len(items)) {
			continue // all have the same byte
		}
		next := uint32(0)
		for i, n := range place {
			place[i], next = next, next+n
		}
		for _, item := range items {
			at := &place[byte(item.head>>(8*b))]
			sorted[*at] = item
			*at++
		}
		items, sorted = sorted, items
	}
	return items
}

// sortAlike sorts items with the same head, which are in the order of their entries.
func sortAlike(items []sortItem, entries []Entry) {
	slices.SortFunc(items, func(a, b sortItem) int {
		if a.rest <= 8 && b.rest <= 8 { // the heads have all of both keys, and zeros behind
			return cmp.Or(cmp.Compare(a.rest, b.rest), cmp.Compare(a.i, b.i))
		}
		return cmp.Or(bytes.Compare(entries[a.i].Key, entries[b.i].Key), cmp.Compare(a.i, b.i))
	})
}
