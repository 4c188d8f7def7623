package index

// tombstone is a key that was deleted at the revision mod.
type tombstone struct {
	mod  uint64
	slot Slot
}

// keyCost is what the removal of a key counts, or the move of its bytes, in older versions
// that are dropped.
const keyCost = 32

// Purge forgets what compaction allows: the versions after which came others before the
// revision compacted, and the keys that were deleted before it. It tells dropped of each
// record that the index needs no more, once. It ends when it has done about budget of such
// steps, and then returns true: there may be more. So a step takes some ten nanoseconds. Up to 31 versions that could go wait for
// those behind them, with the keys that were deleted meanwhile.
func (x *Index) Purge(compacted uint64, budget int, dropped func(Ref)) (more bool) {
	n := x.older.purge(compacted, budget, dropped)
	for ; x.tombstones.len() > 0 && n < budget; n++ {
		t := *x.tombstones.at(x.tombstones.first)
		if t.mod >= compacted {
			break
		}
		if v := x.table.at(t.slot); v.mod == t.mod && v.deleted() {
			if x.older.has(v.older.number()) {
				break
			}
			dropped(v.ref)
			x.remove(t.slot)
			n += keyCost
		}
		x.tombstones.drop(x.tombstones.first + 1)
	}
	purged := compacted
	if x.older.nodes.len() > 0 {
		purged = min(purged, x.older.purged)
	}
	if x.tombstones.len() > 0 {
		purged = min(purged, x.tombstones.at(x.tombstones.first).mod)
	}
	x.purged = max(x.purged, purged)
	n += x.tidy(budget - n)
	return n >= budget
}

// Purged returns a revision: every record that was followed by another one of its key before it, and
// every deletion before it that nothing followed, was dropped from the index.
func (x *Index) Purged() uint64 { return x.purged }

// remove takes a key out of the index.
func (x *Index) remove(s Slot) {
	key := x.table.key(s)
	x.hash.remove(tagOf(key), s)
	x.order.remove(s, key)
	x.table.remove(s)
}
