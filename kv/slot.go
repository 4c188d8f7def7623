package kv

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// slot is the place of a key in a store, for as long as the key exists. What is in it
// changes with each Put, so that a Put looks the key up once and leaves the indexes as
// they are.
type slot struct {
	key string
	// record is what the key holds now. After a Delete, when only images have the slot
	// still, its version is 0.
	record
	// before is what the slot held when images were taken that are in use still,
	// newest first.
	before *older
}

// older is a record that was replaced or deleted, and still belongs to an image.
type older struct {
	record
	before *older // what the slot held before it
	slot   *slot
	next   *older // of any slot: what was replaced after it
}

// replacedAt is the revision at which o's slot got something else.
func (o *older) replacedAt() uint64 {
	revision := o.slot.modRevision
	for newer := o.slot.before; newer != o; newer = newer.before {
		revision = newer.modRevision
	}
	return revision
}

// cut takes o, which is the oldest there is, from its slot and returns the next.
func (o *older) cut() *older {
	link := &o.slot.before
	for *link != o {
		link = &(*link).before
	}
	*link = nil
	return o.next
}

// record is what a key holds from one revision on. The bytes of its value never change:
// readers and images share them.
type record struct {
	value          []byte
	version        uint64
	createRevision uint64
	modRevision    uint64
	// sum is what the record adds to totals.sum: kept, since to compute it again would
	// read the whole value.
	sum uint64
}

// at returns what the slot held at a revision, the zero record if nothing. Of a revision
// whose image is not in use (see images) it may say anything.
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

// replace puts r into the slot. What was there stays for the images that it belongs to.
func (s *slot) replace(r record, images *images) {
	images.keep(s)
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
