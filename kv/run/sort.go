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
	at   uint32 // where the entry is
	rest uint32 // bytes of the key behind what all share; 9: more than head has
}

// sorted returns all entries by key, once. Those with the same key stay in the order that they have, which
// is by revision.
func (p *packed) sorted() []sortItem {
	if len(p.items) == 0 {
		return nil
	}
	for i := range p.items {
		item := &p.items[i]
		key, _ := p.entry(item.at)
		item.head, item.rest = headOf(key[len(p.shared):])
	}
	items := sortByHead(p.items)
	for from := 0; from < len(items); {
		end := from + 1
		for end < len(items) && items[end].head == items[from].head {
			end++
		}
		p.sortAlike(items[from:end])
		from = end
	}
	p.items = nil
	return items
}

// headOf returns the head and the rest of a sortItem.
func headOf(key []byte) (head uint64, rest uint32) {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key), uint32(min(len(key), 9))
	}
	var b [8]byte
	rest = uint32(copy(b[:], key))
	return binary.BigEndian.Uint64(b[:]), rest
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
func (p *packed) sortAlike(items []sortItem) {
	slices.SortFunc(items, func(a, b sortItem) int {
		if a.rest <= 8 && b.rest <= 8 { // the heads have all of both keys, and zeros behind
			return cmp.Or(cmp.Compare(a.rest, b.rest), cmp.Compare(a.at, b.at))
		}
		aKey, _ := p.entry(a.at)
		bKey, _ := p.entry(b.at)
		return cmp.Or(bytes.Compare(aKey, bKey), cmp.Compare(a.at, b.at))
	})
}
