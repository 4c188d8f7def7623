package index

import (
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// Ref says where a record is: in which run, which is not 0, at which offset, and its length there.
// The run's number is that of one member; other members may have the same record elsewhere.
type Ref struct{ Run, Offset, Size uint32 }

// Head is the newest version of a key.
type Head struct {
	// Mod and Create are the revisions that changed the key last, and that created it.
	Mod, Create uint64
	// Version is the number of changes since the key was created.
	Version uint64
	Lease   int64
	Ref     Ref
	// Deleted marks a tombstone, in which Create, Version and Lease are 0.
	Deleted bool
}

// Slot is the place of a key. It is valid until a Purge removes the key, and 0 is none.
type Slot uint32

// Index finds the versions of keys. Its zero value is not usable: see New.
type Index struct {
	hash  hash
	order order
	table *slots
	older olderVersions
	// tombstones are the keys that were deleted, in the order of the revisions.
	tombstones queue[tombstone]
	// purged is what Purged returns.
	purged uint64
	// newest is the highest revision of all.
	newest uint64
	keys   int
}

// New returns an index without keys.
func New() *Index {
	table := &slots{bytes: newKeys()}
	return &Index{hash: newHash(), table: table, order: order{table: table}, older: newOlderVersions()}
}

// Find returns the slot of a key, also if its newest version is a tombstone.
func (x *Index) Find(key string) Slot {
	tag := tagOf(key)
	t := x.hash.table(tag)
	for i := home(tag); t.entries[i] != 0; i = behind(i) {
		if e := t.entries[i]; e.tag() == tag && x.table.key(e.slot()) == key {
			return e.slot()
		}
	}
	if t.crowded {
		return x.order.find(key)
	}
	return 0
}

func tagOf(key string) uint32 { return uint32(xxhash.Sum64String(key) >> 32) }

// Head returns the newest version.
func (x *Index) Head(s Slot) Head {
	v := x.table.at(s)
	return Head{Mod: v.mod, Create: v.create, Version: v.version, Lease: v.lease, Ref: v.ref, Deleted: v.deleted()}
}

// Key returns the slot's key. The string aliases memory of the index, which is not written
// again: so it stays as it is, and keeps up to 16 KiB from being freed.
func (x *Index) Key(s Slot) string { return x.table.key(s) }

// Insert adds a key, of which it keeps a copy, and which Find must not know. The revision of h
// is not below those of other keys.
func (x *Index) Insert(key string, h Head) Slot {
	s := x.add(key, h)
	x.order.insert(s, x.table.key(s))
	x.follow(s, h)
	return s
}

// Replace makes h the newest version of a key. Its revision is above the key's others, and
// not below those of other keys.
func (x *Index) Replace(s Slot, h Head) {
	v := x.table.at(s)
	if h.Mod <= v.mod {
		panic("index: a version that is not above the one before")
	}
	if !v.deleted() {
		x.keys--
	}
	if h.Deleted != v.deleted() {
		x.order.setDeleted(x.table.key(s), h.Deleted)
	}
	x.older.push(v, newNodeVersion(v.mod, v.deleted()), v.ref, h.Mod)
	x.set(v, h)
	x.follow(s, h)
}

// add finds a place for a key, but in the order of keys.
func (x *Index) add(key string, h Head) Slot {
	s := x.table.add(key)
	x.hash.insert(tagOf(key), s)
	x.set(x.table.at(s), h)
	return s
}

func (x *Index) set(v *slot, h Head) {
	if h.Ref.Run == 0 || h.Deleted != (h.Version == 0) {
		panic("index: a version without a record, or neither deleted nor counted")
	}
	v.mod, v.create, v.version, v.lease, v.ref = h.Mod, h.Create, h.Version, h.Lease, h.Ref
	if !h.Deleted {
		x.keys++
	}
}

// follow takes note of a revision that is the highest.
func (x *Index) follow(s Slot, h Head) {
	if h.Mod < x.newest {
		panic("index: a revision below the one before")
	}
	x.newest = h.Mod
	if h.Deleted {
		x.tombstones.push(tombstone{mod: h.Mod, slot: s})
	}
}

// Newest returns the highest revision of all versions that the index was given.
func (x *Index) Newest() uint64 { return x.newest }

// Keys returns the number of keys, without those that are deleted.
func (x *Index) Keys() int { return x.keys }

// Versions returns the number of older versions.
func (x *Index) Versions() int { return x.older.count() }

// Bytes returns how much memory the keys and their versions take up. What keys that are gone
// leave is not counted: the next ones use it again.
func (x *Index) Bytes() int64 {
	return x.hash.memory() + x.order.memory() + x.table.memory() + x.older.memory() + x.tombstones.memory()
}

func (h *hash) memory() int64 {
	return int64(h.tables)*int64(unsafe.Sizeof(table{})) + int64(len(h.directory))*8
}

func (p *pool[T, P]) memory() int64 {
	return int64(int(p.used)-p.idle)*int64(unsafe.Sizeof(*new(T))) + int64(cap(p.chunks))*8
}

func (q *queue[T]) memory() int64 {
	return int64(len(q.chunks))*int64(unsafe.Sizeof([queueChunk]T{})) + int64(cap(q.chunks))*8
}
