package kv

import (
	"errors"
	"iter"
	"slices"

	"github.com/tidwall/btree"
)

// image is a state as it was at one revision. It shares the slots, and each slot keeps
// for it what it held then; so to take one costs O(1), a Put while one is in use costs
// an allocation, and only for the first change of its key.
type image struct {
	store *Store
	of    *state // whose images know of this one
	totals
	// order has all slots of the revision, and nobody changes it. The original of it
	// copies a path of nodes when a key is created or deleted.
	order  *btree.Map[string, *slot]
	closed bool
}

// chunk is how many slots are handled under one locking, so that operations do not wait.
const chunk = 64

var errClosed = errors.New("kv: image is closed")

// image takes an image of the present state. Close ends its use.
func (s *Store) image() *image {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	st.images.revisions = append(st.images.revisions, st.revision)
	return &image{store: s, of: st, totals: st.totals, order: st.order.Copy()}
}

// scan calls yield with each key from a given one on, in order, and what it held, until
// yield returns false.
func (im *image) scan(from string, yield func(key string, r *record) bool) {
	var slots [chunk]*slot
	var records [chunk]record
	n, more := 0, true
	flush := func() {
		im.read(slots[:n], records[:])
		for i := 0; i < n && more; i++ {
			more = yield(slots[i].key, &records[i])
		}
		n = 0
	}
	im.order.Ascend(from, func(_ string, s *slot) bool {
		slots[n] = s
		if n++; n == chunk {
			flush()
		}
		return more
	})
	flush()
}

// read copies what slots held.
func (im *image) read(slots []*slot, to []record) {
	im.store.mu.RLock()
	defer im.store.mu.RUnlock()
	for i, s := range slots {
		to[i] = s.at(im.revision)
	}
}

// Close lets go of what is kept for the image alone. It may be called more than once.
func (im *image) Close() error {
	if im.closed {
		return nil
	}
	im.closed = true
	im.store.mu.Lock()
	im.of.images.end(im.revision)
	im.store.mu.Unlock()
	for more := true; more; {
		im.store.mu.Lock()
		more = im.of.images.forget(chunk)
		im.store.mu.Unlock()
	}
	return nil
}

// images are those of one state that are in use. Its Store's lock guards them.
type images struct {
	// revisions are in rising order: each image is taken after the one before.
	revisions []uint64
	// first and last are the ends of the queue of all that was replaced and may belong to
	// an image still, by the revision that replaced it. A list, since an array of so many
	// would stop the store whenever it grows.
	first, last *older
}

// keep is called before a slot changes. What it holds belongs to an image unless it is
// newer than all of them.
func (is *images) keep(s *slot) {
	if n := len(is.revisions); n == 0 || s.modRevision > is.revisions[n-1] {
		return
	}
	o := &older{record: s.record, before: s.before, slot: s}
	s.before = o
	if is.first == nil {
		is.first = o
	} else {
		is.last.next = o
	}
	is.last = o
}

// end is the end of one image.
func (is *images) end(revision uint64) {
	i := slices.Index(is.revisions, revision)
	is.revisions = slices.Delete(is.revisions, i, i+1)
}

// forget frees up to n records that were replaced before the oldest image was taken, and
// tells whether there may be more.
func (is *images) forget(n int) bool {
	for ; n > 0 && is.first != nil; n-- {
		if len(is.revisions) > 0 && is.first.replacedAt() > is.revisions[0] {
			return false
		}
		is.first = is.first.cut()
	}
	if is.first == nil {
		is.last = nil
	}
	return is.first != nil
}

// Entry is one key with all that it holds. Its Value must not be written to.
type Entry struct {
	Key            string
	Value          []byte
	Version        uint64
	CreateRevision uint64
	ModRevision    uint64
}

// Ascend iterates over the entries with from <= key < to in key order, of the one
// revision that the store is at when the iteration begins; an empty to means no upper
// end. Operations go on meanwhile, and may come from the loop's body.
func (s *Store) Ascend(from, to string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		im := s.image()
		defer im.Close()
		im.scan(from, func(key string, r *record) bool {
			if to != "" && key >= to {
				return false
			}
			return yield(Entry{key, r.value, r.version, r.createRevision, r.modRevision})
		})
	}
}
