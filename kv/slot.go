package kv

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// slot is the place of a key in a store, for as long as the key exists. A Put replaces the
// record in it, so that it looks the key up once and leaves the indexes as they are.
type slot struct {
	key string
	// record is what the key holds now. Its version is 0 after a Delete, when the slot is
	// in images only.
	record
	// before is the newest of the earlier versions that images still need.
	before *version
}

// version is a record that was replaced or deleted, and that an image still needs. It is
// in two lists: of its slot, from the newest to the oldest, and of all slots, in the order
// in which the versions were replaced.
type version struct {
	record
	slot   *slot
	before *version // the next older one of the slot
	next   *version // the next one of any slot
}

// replacedAt returns the revision at which v's slot got its next record.
func (v *version) replacedAt() uint64 {
	revision := v.slot.modRevision
	for newer := v.slot.before; newer != v; newer = newer.before {
		revision = newer.modRevision
	}
	return revision
}

// remove takes v, the oldest version of its slot, out of the slot's list. It returns the
// next version of any slot.
func (v *version) remove() *version {
	link := &v.slot.before
	for *link != v {
		link = &(*link).before
	}
	*link = nil
	return v.next
}

// record is what a key holds from one revision on. The bytes of its value never change:
// readers and images share them.
type record struct {
	value          []byte
	version        uint64
	createRevision uint64
	modRevision    uint64
	// sum is the record's hash, which is part of totals.sum. It is kept because to compute
	// it again would read the whole value.
	sum uint64
}

// at returns what the slot held at the revision of an image that is in use: the zero
// record if nothing. For other revisions its result has no meaning.
func (s *slot) at(revision uint64) record {
	r, before := &s.record, s.before
	for r.modRevision > revision {
		if before == nil {
			return record{}
		}
		r, before = &before.record, before.before
	}
	return *r
}

// replace puts r into the slot. The record before it is retained for images that need it.
func (s *slot) replace(r record, images *images) {
	images.retain(s)
	s.record = r
}

// hash covers the key and all that it holds. The key's length keeps the bytes of key
// and value apart.
func (r *record) hash(key string) uint64 {
	var head [32]byte
	binary.LittleEndian.PutUint64(head[0:], r.version)
	binary.LittleEndian.PutUint64(head[8:], r.createRevision)
	binary.LittleEndian.PutUint64(head[16:], r.modRevision)
	binary.LittleEndian.PutUint64(head[24:], uint64(len(key)))
	var d xxhash.Digest
	d.Reset()
	d.Write(head[:])
	d.WriteString(key)
	d.Write(r.value)
	return d.Sum64()
}

func (r *record) size(key string) int64 { return int64(len(key) + len(r.value)) }
