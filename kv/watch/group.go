package watch

import (
	"cmp"
	"slices"
	"sync"

	"balsa.example/kv"
)

// Filter says which events of its span a watcher wants, and with what.
type Filter struct {
	NoPut, NoDelete bool
	// Prev asks for what the keys held before.
	Prev bool
}

// passes tells whether an event is wanted.
func (f Filter) passes(e *kv.Event) bool {
	if e.Deleted {
		return !f.NoDelete
	}
	return !f.NoPut
}

// Batch is all events of one revision that a group is due. It never changes, and all
// watchers of the group share it.
type Batch struct {
	Revision uint64
	Events   []kv.Event

	size    int // the bytes of one copy: as it is, or encoded
	encoded [faces]struct {
		once sync.Once
		data [][]byte
	}
}

// Face is one of those that encode batches, each in its own way.
type Face uint8

const (
	NativeFace Face = iota
	EtcdFace
	faces
)

// Encoded returns what encode makes of the batch. It is made once for all watchers, in as many
// parts as encode likes.
func (b *Batch) Encoded(f Face, encode func(*Batch) [][]byte) [][]byte {
	e := &b.encoded[f]
	e.once.Do(func() { e.data = encode(b) })
	return e.data
}

// Size is about how many bytes the batch has when it is encoded.
func (b *Batch) Size() int { return b.size }

// overhead is what an event or a batch takes up besides keys and values, in bytes.
const overhead = 128

// sizeOf returns for how many bytes an event counts.
func sizeOf(e *kv.Event) int {
	size := overhead + len(e.Key) + len(e.Value)
	if e.Prev != nil {
		size += overhead + len(e.Prev.Key) + len(e.Prev.Value)
	}
	return size
}

func newBatch(revision uint64, events []kv.Event) *Batch {
	b := &Batch{Revision: revision, Events: events, size: overhead}
	for i := range events {
		b.size += sizeOf(&events[i])
	}
	return b
}

// group is what all watchers of one span with the same filter share.
type group struct {
	kv.Span
	Filter

	// ring has the newest batches, in order: all whose revision is at least from, and at
	// most Hub.matched. There is no other queue.
	ring []*Batch
	from uint64
	// open are the events of the revision that is being matched.
	open []kv.Event
	// broken tells that it is not known any more what a key of open held before.
	broken bool

	cursors int // of all streams
	// idle are the cursors that have got everything up to Hub.matched, one for each stream
	// at most.
	idle []*cursor
}

// find returns the place of the first batch from a revision on.
func find(batches []*Batch, next uint64) int {
	i, _ := slices.BinarySearchFunc(batches, next, func(b *Batch, next uint64) int {
		return cmp.Compare(b.Revision, next)
	})
	return i
}

// dropOldest takes the oldest batch out of the ring.
func (g *group) dropOldest() {
	g.from = g.ring[0].Revision + 1
	g.ring[0] = nil // the array behind the slice keeps it otherwise
	g.ring = g.ring[1:]
}

// add puts an event into the batch of the revision that is being matched. prev is what the
// key held before.
func (g *group) add(e kv.Event, prev *kv.Entry) {
	if e.Prev = nil; g.Prev {
		e.Prev = prev
	}
	g.open = append(g.open, e)
}

// ring is what all groups keep: a list of groups, in the order in which their batches came.
// It decides which batch goes when there are too many bytes.
type ring struct {
	order []*group
	bytes int // of one copy of each
}

// add puts a batch into a group's ring, and drops the oldest batches of all groups until
// they are within max bytes.
func (r *ring) add(g *group, b *Batch, max int) {
	g.ring = append(g.ring, b)
	r.order = append(r.order, g)
	r.bytes += b.size
	for r.bytes > max && len(r.order) > 0 {
		oldest := r.order[0]
		r.order[0] = nil
		r.order = r.order[1:]
		r.bytes -= oldest.ring[0].size
		oldest.dropOldest()
	}
}

// clear empties the ring of one group, which is complete only from a revision on then. What
// order has of the group goes too, or it would drop later batches out of turn.
func (r *ring) clear(g *group, from uint64) {
	for _, b := range g.ring {
		r.bytes -= b.size
	}
	g.ring, g.from = nil, from
	r.order = slices.DeleteFunc(r.order, func(o *group) bool { return o == g })
}
