package watch

import (
	"bytes"
	"cmp"
	"strings"
	"sync"

	"balsa.example/kv"
)

// History is the store's history, which is read for watchers that are behind. Its methods
// are called by any goroutine.
type History interface {
	// Scan calls yield for each revision from one on, in order and without a gap, with all
	// its events as they happened, until yield returns false or the newest revision is
	// reached. Events have no Prev. What yield gets may be kept, and never changes. Scan
	// fails with kv.ErrCompacted if a part of that was compacted.
	Scan(from uint64, yield func(revision uint64, events []kv.Event) bool) error
	// Previous returns what a key held before the event that changed it at a revision, nil
	// if it was absent. It fails with kv.ErrCompacted if that was compacted.
	Previous(key string, revision uint64) (*kv.Entry, error)
}

// Limits bounds what a Hub keeps. A zero field stands for that of DefaultLimits.
type Limits struct {
	// PendingBytes is of the revisions that were published and not matched yet.
	PendingBytes int
	// RingBytes is of the batches that all groups keep, with what they are encoded to.
	RingBytes int
	// PieceBytes is how much of the history is read at a time. A revision is never split.
	PieceBytes int
	// PieceBatchBytes is of the batches that are kept of each of the pieces that were read last, with what they are
	// encoded to. Where it is 0 and PieceBytes is not, it is four times that. All pieces that are kept have keptPieces
	// times as much as both at most; a larger one is kept alone, while somebody is behind.
	PieceBatchBytes int
	// Watchers is how many there may be in all, StreamWatchers how many on one stream.
	Watchers, StreamWatchers int
}

// DefaultLimits apply where none are set.
var DefaultLimits = Limits{
	PendingBytes:    16 << 20,
	RingBytes:       16 << 20,
	PieceBytes:      1 << 20,
	PieceBatchBytes: 4 << 20,
	Watchers:        1 << 18,
	StreamWatchers:  1 << 14,
}

// LimitsFor returns the limits of a Hub whose events have values of at most so many bytes. Up to 2 MiB they are
// DefaultLimits. Beyond that they grow so that all watchers share a large event: two batches that have one, with its
// previous value, fit into the ring, and one fits beside a piece. Else each watcher would have its own copy.
func LimitsFor(valueBytes int) Limits {
	l := DefaultLimits
	if valueBytes <= 2<<20 {
		return l
	}
	batch := 2*(1+int(faces))*valueBytes + 1<<20 // value and previous value, as they are and encoded by each face
	l.PendingBytes = max(l.PendingBytes, 4*valueBytes+1<<20)
	l.RingBytes = max(l.RingBytes, 2*batch)
	l.PieceBatchBytes = max(l.PieceBatchBytes, batch)
	return l
}

// allPieces bounds what is kept of the history.
func (l *Limits) allPieces() int { return keptPieces * (l.PieceBytes + l.PieceBatchBytes) }

func (l Limits) withDefaults() Limits {
	d := DefaultLimits
	piece := cmp.Or(l.PieceBytes, d.PieceBytes)
	return Limits{
		PendingBytes:    cmp.Or(l.PendingBytes, d.PendingBytes),
		RingBytes:       cmp.Or(l.RingBytes, d.RingBytes),
		PieceBytes:      piece,
		PieceBatchBytes: cmp.Or(l.PieceBatchBytes, 4*piece),
		Watchers:        cmp.Or(l.Watchers, d.Watchers),
		StreamWatchers:  cmp.Or(l.StreamWatchers, d.StreamWatchers),
	}
}

// Hub matches what a store publishes to its watchers.
type Hub struct {
	limits  Limits
	history History
	wake    func()

	queue queue

	// mu guards all that follows, and what streams, cursors and groups have. It may be held
	// when queue.mu is taken, and not the other way round.
	mu    sync.Mutex
	index index
	ring  ring
	// matched is the revision up to which groups have their batches.
	matched uint64
	// era counts how often somebody began to watch while nobody did; 0: nobody does. What was published in an
	// earlier one is not matched any more.
	era uint64
	// generation counts gaps: what was read of the history before is not used after one.
	generation uint64
	// future are the cursors that wait for matched to come to their revision. See place.
	future futures
	// asking are the streams that wait for a progress mark.
	asking   []*Stream
	watchers int
	streams  map[*Stream]struct{}
	touched  []*group // by the revision that is being matched
	// seen are the faces that have had streams, and copies is how often an event of a batch is held at most: as it is, and
	// encoded by each of them.
	seen   [faces]bool
	copies int

	pieces pieces
	// catching is how many streams are catching up.
	catching int
}

// New returns the Hub of a store that is at a revision. wake is called when there is work
// for Match. It must not block, and not call the Hub.
func New(history History, revision, compacted uint64, limits Limits, wake func()) *Hub {
	h := &Hub{
		limits: limits.withDefaults(), history: history, wake: wake,
		index: index{keys: map[string]*node{}}, matched: revision, streams: map[*Stream]struct{}{}, copies: 1,
	}
	h.queue.published, h.queue.compacted, h.queue.max = revision, compacted, h.limits.PendingBytes
	return h
}

// Active tells whether anybody watches. If not, it is enough to publish revisions without
// their events.
func (h *Hub) Active() bool {
	h.queue.mu.Lock()
	defer h.queue.mu.Unlock()
	return h.queue.active
}

// Publish tells of a revision that was executed, and of its events in the order in which
// they happened. The Hub keeps the events for a while, so they must not change. Without
// events it takes them from the history, if somebody has begun to watch meanwhile.
func (h *Hub) Publish(revision uint64, events []kv.Event) {
	if h.queue.add(revision, events) {
		h.wake()
	}
}

// Compacted tells that the history below a revision is gone. It must be called before any of
// it is removed.
func (h *Hub) Compacted(revision uint64) {
	h.queue.mu.Lock()
	h.queue.compacted = max(h.queue.compacted, revision)
	h.queue.mu.Unlock()
}

// Reset tells that the state was replaced by another one, which is at a revision and has no
// history below compacted. Watchers go on from the history, or end as compacted.
func (h *Hub) Reset(revision, compacted uint64) {
	if h.queue.reset(revision, compacted) {
		h.wake()
	}
}

// Revision returns the last revision that was published.
func (h *Hub) Revision() uint64 {
	h.queue.mu.Lock()
	defer h.queue.mu.Unlock()
	return h.queue.published
}

// Match gives the groups what was published, and wakes the streams that have something to
// hand out. One goroutine at a time may call it.
func (h *Hub) Match() {
	taken := h.queue.take()
	if taken.gap {
		h.gap(taken.era, taken.base)
	}
	for _, r := range taken.revisions {
		// What keys held before is read without the lock.
		m := matching{revision: r, era: taken.era}
		for !h.match(&m) {
			m.readPrevious(h.history)
		}
	}
	clear(taken.revisions)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer()
}

// matching is a revision on its way to the groups.
type matching struct {
	revision
	era      uint64
	matches  []match // of the last attempt
	previous map[int]previous
}

// match is a group that wants an event.
type match struct {
	group *group
	event int
}

// previous is what a key held before, or why that cannot be told.
type previous struct {
	entry *kv.Entry
	err   error
}

// readPrevious finds what the keys held before, of the events for which that is wanted.
func (m *matching) readPrevious(history History) {
	if m.previous == nil {
		m.previous = map[int]previous{}
	}
	for _, x := range m.matches {
		if _, known := m.previous[x.event]; x.group.Prev && !known {
			entry, err := history.Previous(m.events[x.event].Key, m.number)
			m.previous[x.event] = previous{entry, err}
		}
	}
}

// match gives the groups one revision, unless it has to be known first what some keys held
// before. Then it returns false, and nothing has changed.
func (h *Hub) match(m *matching) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.era != h.era {
		return true
	}
	m.matches = m.matches[:0]
	missing := false
	for i := range m.events {
		e := &m.events[i]
		h.index.match(e.Key, func(n *node) {
			for _, g := range n.groups {
				if g.passes(e) {
					_, known := m.previous[i]
					missing = missing || g.Prev && !known
					m.matches = append(m.matches, match{g, i})
				}
			}
		})
	}
	if missing {
		return false
	}
	h.fill(m)
	h.matched = m.number
	for _, g := range h.touched {
		h.seal(g, m)
	}
	clear(h.touched)
	h.touched = h.touched[:0]
	h.ripen()
	return true
}

// fill gives each group its events. They are copied once: what they alias may be a large
// block of memory that holds others too.
func (h *Hub) fill(m *matching) {
	var e kv.Event
	copied := -1
	for _, x := range m.matches {
		if x.event != copied {
			e, copied = m.events[x.event], x.event
			e.Key, e.Value = strings.Clone(e.Key), bytes.Clone(e.Value)
		}
		if x.group.open == nil {
			h.touched = append(h.touched, x.group)
		}
		x.group.add(e, m.previous[x.event].entry)
		if x.group.Prev && m.previous[x.event].err != nil {
			x.group.broken = true
		}
	}
}

// seal ends the batch of a group, and wakes those that have waited for it. If what a key held
// before was compacted already, the batch cannot be made: then the group's watchers find in
// the history that it is too late for them.
func (h *Hub) seal(g *group, m *matching) {
	events, broken := g.open, g.broken
	g.open, g.broken = nil, false
	for _, c := range g.idle {
		c.next = m.number
	}
	if broken {
		h.ring.clear(g, m.number+1)
	} else {
		h.ring.add(g, newBatch(m.number, events), h.limits.RingBytes/h.copies)
	}
	h.rouse(g)
}

// gap notes that groups miss what was published up to a revision. Their watchers find it in
// the history.
func (h *Hub) gap(era, revision uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if era != h.era {
		return
	}
	next := h.matched + 1
	h.matched = revision
	h.ring = ring{}
	h.generation++
	h.index.all(func(g *group) {
		g.ring, g.from = nil, revision+1
		for _, c := range g.idle {
			c.next = next
		}
		h.rouse(g)
	})
	h.ripen()
}

// ripen places the cursors whose first revision is the next one to be matched, or was.
func (h *Hub) ripen() {
	for len(h.future) > 0 && h.future[0].next <= h.matched+1 {
		c := h.future[0]
		h.unplace(c)
		h.place(c)
	}
}

// rouse lets the cursors that a group's next batch has waited for read it.
func (h *Hub) rouse(g *group) {
	waiting := g.idle
	g.idle = g.idle[:0]
	for _, c := range waiting {
		c.stream.notIdle(c)
		c.state = nowhere
	}
	for _, c := range waiting {
		h.place(c)
	}
	clear(waiting[len(g.idle):])
}

// answer wakes the streams whose progress can be told now.
func (h *Hub) answer() {
	waiting := h.asking
	h.asking = h.asking[:0]
	for i, s := range waiting {
		waiting[i] = nil
		if h.matched < s.progress {
			h.asking = append(h.asking, s)
			continue
		}
		s.asking = false
		s.rouse()
	}
}
