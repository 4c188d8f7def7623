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

// Loader fills an empty index with what is known of all keys, faster than Insert and Replace.
type Loader struct {
	index *Index
	last  string
	// older and tombstones come in the order of keys, and are sorted in the end.
	older      []olderVersion
	tombstones []tombstone
	newest     uint64
}

// olderVersion is a version of a slot that was replaced by one of the revision by.
type olderVersion struct {
	by   uint64
	slot Slot
	Version
}

// Load returns a loader of an index that is empty. The index may be used after Done.
func (x *Index) Load() *Loader {
	if x.newest != 0 {
		panic("index: Load of an index that is in use")
	}
	return &Loader{index: x}
}

// Add takes a key, of which it keeps a copy, its older versions from the oldest to the newest,
// and then the newest of all. Each key is above the ones before.
func (l *Loader) Add(key string, h Head, older []Version) {
	x := l.index
	if x.order.root != 0 && key <= l.last {
		panic("index: a key that is not above the one before")
	}
	s := x.add(key, h)
	l.last = x.table.key(s)
	x.order.insert(s, l.last)
	if h.Deleted {
		l.tombstones = append(l.tombstones, tombstone{mod: h.Mod, slot: s})
	}
	for i, v := range older {
		by := h.Mod
		if i+1 < len(older) {
			by = older[i+1].Mod
		}
		if v.Mod >= by || v.Ref.Run == 0 {
			panic("index: older versions that are not in order")
		}
		l.older = append(l.older, olderVersion{by, s, v})
	}
	l.newest = max(l.newest, h.Mod)
}

// Done ends the loading. What came in one revision goes in the order of keys, in both lists:
// so no tombstone that may be purged waits behind one that may not.
func (l *Loader) Done() {
	x := l.index
	slices.SortFunc(l.older, func(a, b olderVersion) int {
		return cmp.Or(cmp.Compare(a.by, b.by), cmp.Compare(a.slot, b.slot))
	})
	for i := range l.older {
		o := &l.older[i]
		x.older.push(x.table.at(o.slot), newNodeVersion(o.Mod, o.Deleted), o.Ref, o.by)
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
