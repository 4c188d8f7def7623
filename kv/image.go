package kv

import (
	"errors"
	"iter"
	"slices"

	"github.com/tidwall/btree"
)

// image is a state as it was at one revision. It shares the slots, and each slot retains
// for it the record of that revision. So to take an image costs O(1). While one is in use,
// the first Put of each key costs an allocation.
type image struct {
	store *Store
	of    *state // the state that the image was taken of
	totals
	// order has all slots of the revision. It is a copy on write: the state's own tree
	// copies a path of nodes when a key is created or deleted.
	order  *btree.Map[string, *slot]
	closed bool
}

// chunk is how many slots are read under one lock, so that operations do not wait long.
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

// read copies the records of slots at the image's revision.
func (im *image) read(slots []*slot, to []record) {
	im.store.mu.RLock()
	defer im.store.mu.RUnlock()
	for i, s := range slots {
		to[i] = s.at(im.revision)
	}
}

// Close frees the versions that were retained for this image alone. It may be called more
// than once.
func (im *image) Close() error {
	if im.closed {
		return nil
	}
	im.closed = true
	im.store.mu.Lock()
	im.of.images.remove(im.revision)
	im.store.mu.Unlock()
	for more := true; more; {
		im.store.mu.Lock()
		more = im.of.images.release(chunk)
		im.store.mu.Unlock()
	}
	return nil
}

// images are the images of one state that are in use, and the versions retained for them.
// The Store's lock guards it.
type images struct {
	// revisions are in rising order: each image is taken after the one before.
	revisions []uint64
	// oldest and newest are the ends of the queue of retained versions, in the order of the
	// revisions that replaced them. It is a linked list because a slice of that length
	// would stop the store while it grows.
	oldest, newest *version
}

// retain is called before a slot changes. It retains the slot's record, unless that is
// newer than all images.
func (is *images) retain(s *slot) {
	if n := len(is.revisions); n == 0 || s.modRevision > is.revisions[n-1] {
		return
	}
	v := &version{record: s.record, before: s.before, slot: s}
	s.before = v
	if is.oldest == nil {
		is.oldest = v
	} else {
		is.newest.next = v
	}
	is.newest = v
}

// remove ends the use of one image.
func (is *images) remove(revision uint64) {
	i := slices.Index(is.revisions, revision)
	is.revisions = slices.Delete(is.revisions, i, i+1)
}

// release frees up to n versions that were replaced before the oldest image was taken, and
// tells whether there may be more.
func (is *images) release(n int) bool {
	for ; n > 0 && is.oldest != nil; n-- {
		if len(is.revisions) > 0 && is.oldest.replacedAt() > is.revisions[0] {
			return false
		}
		is.oldest = is.oldest.remove()
	}
	if is.oldest == nil {
		is.newest = nil
	}
	return is.oldest != nil
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
			return yield(Entry{Key: key, Value: r.value, Version: r.version, CreateRevision: r.createRevision, ModRevision: r.modRevision})
		})
	}
}
