package index

import (
	"cmp"
	"slices"
)

// Version is an older version of a key, as a Loader takes it.
type Version struct {
	Mod     uint64
	Ref     Ref
	Deleted bool
}

// Loader fills an empty index with what is known of all keys, faster than Insert and Replace
// do. The index is usable after Done.
type Loader struct {
	index *Index
	slots Slot // that are in use, in the order of their keys
	last  string
	// older and tombstones come in the order of keys, and are sorted in the end.
	older      []olderVersion
	tombstones []tombstone
	newest     uint64
}

// olderVersion is a version of a slot after which came one of the revision by.
type olderVersion struct {
	by      uint64
	version nodeVersion
	ref     Ref
	slot    Slot
}

// Load returns a loader of an index that was never used.
func (x *Index) Load() *Loader {
	if x.newest != 0 {
		panic("index: Load of an index that is in use")
	}
	return &Loader{index: x}
}

// Add takes a key, of which it keeps a copy, its newest version, and the older ones from the
// oldest on. Each key is above the ones before.
func (l *Loader) Add(key string, newest Head, older []Version) {
	if l.slots != 0 && key <= l.last {
		panic("index: a key that is not above the one before")
	}
	x := l.index
	l.slots = x.table.add(key)
	x.set(x.table.at(l.slots), newest)
	l.last = x.table.key(l.slots)
	l.newest = max(l.newest, newest.Mod)
	if newest.Deleted {
		l.tombstones = append(l.tombstones, tombstone{mod: newest.Mod, slot: l.slots})
	}
	for i, v := range older {
		by := newest.Mod
		if i+1 < len(older) {
			by = older[i+1].Mod
		}
		if v.Mod >= by || v.Ref.Run == 0 {
			panic("index: older versions that are not in order, or without a record")
		}
		l.older = append(l.older, olderVersion{by, newNodeVersion(v.Mod, v.Deleted), v.Ref, l.slots})
	}
}

// Done ends the loading. What came in one revision goes in the order of keys, in both lists:
// so no tombstone that may be purged waits behind one that may not.
func (l *Loader) Done() {
	x := l.index
	x.order.build(l.slots)
	x.buildHash(l.slots)
	slices.SortFunc(l.older, func(a, b olderVersion) int {
		return cmp.Or(cmp.Compare(a.by, b.by), cmp.Compare(a.slot, b.slot))
	})
	for i := range l.older {
		o := &l.older[i]
		x.older.push(x.table.at(o.slot), o.version, o.ref, o.by)
	}
	slices.SortFunc(l.tombstones, func(a, b tombstone) int {
		return cmp.Or(cmp.Compare(a.mod, b.mod), cmp.Compare(a.slot, b.slot))
	})
	for _, t := range l.tombstones {
		x.tombstones.push(t)
	}
	x.newest = l.newest
	*l = Loader{}
}

// build makes the tree of the slots 1 to last, which are in the order of their keys.
func (o *order) build(last Slot) {
	if last == 0 {
		return
	}
	var level []uint32 // the nodes of a height
	for s := Slot(1); s <= last; {
		number := o.leaves.take()
		l := o.leaves.at(number)
		for ; s <= last && l.count < fanout; s++ {
			l.slots[l.count] = s
			if o.table.at(s).deleted() {
				l.deleted |= 1 << l.count
			}
			l.count++
		}
		l.setPrefix(o.table, l.shared(o.table))
		if n := len(level); n > 0 {
			l.before = level[n-1]
			o.leaves.at(l.before).after = number
		}
		level = append(level, number)
	}
	for len(level) > 1 {
		level = o.buildAbove(level)
	}
	o.root = level[0]
}

// buildAbove makes the nodes above those of a height, and returns them.
func (o *order) buildAbove(level []uint32) (above []uint32) {
	for children := range slices.Chunk(level, fanout) {
		number := o.inner.take()
		n := o.inner.at(number)
		for i, child := range children {
			n.children[i], n.below[i] = child, o.tally(child, o.height)
			n.slots[i] = o.node(child, o.height).slots[0]
		}
		n.count = uint16(len(children))
		n.setPrefix(o.table, n.shared(o.table))
		above = append(above, number)
	}
	o.height++
	return above
}

// buildHash adds the slots 1 to last to the hash table, in an order that fills one small table
// after the other: so they are in the processor's cache.
func (x *Index) buildHash(last Slot) {
	x.hash.reserve(int(last))
	const parts, shift = 1 << 12, 32 - 12
	var place [parts + 1]int
	for s := Slot(1); s <= last; s++ {
		place[tagOf(x.table.key(s))>>shift+1]++
	}
	for i := range parts {
		place[i+1] += place[i]
	}
	entries := make([]entry, last)
	for s := Slot(1); s <= last; s++ {
		tag := tagOf(x.table.key(s))
		entries[place[tag>>shift]] = newEntry(tag, s)
		place[tag>>shift]++
	}
	for _, e := range entries {
		x.hash.insert(e.tag(), e.slot())
	}
}

// reserve makes tables for so many entries, of a hash table that has none.
func (h *hash) reserve(entries int) {
	for h.depth = 0; entries>>h.depth > tableEntries*3/4; {
		h.depth++
	}
	h.tables = 1 << h.depth
	h.directory = make([]*table, h.tables)
	for i := range h.directory {
		h.directory[i] = &table{depth: h.depth}
	}
}
