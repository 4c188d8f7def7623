package watch

import (
	"sync"

	"balsa.example/kv"
)

// revision is one revision of the store and its events.
type revision struct {
	number uint64
	events []kv.Event
}

// queue is what was published and not matched yet. Its lock is never held for long, so that
// the goroutine that executes the log does not wait.
type queue struct {
	max int // bytes

	mu        sync.Mutex
	published uint64
	compacted uint64
	// active tells whether anybody watches. Else only published moves on. era counts how
	// often that began.
	active    bool
	era       uint64
	revisions []revision
	bytes     int
	events    int // in revisions
	// gap tells that something was not kept: what follows begins behind the revision base.
	gap  bool
	base uint64
	// spare is the array of revisions that were matched.
	spare []revision
}

// add returns whether the matcher has to be woken.
func (q *queue) add(r uint64, events []kv.Event) (wake bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	complete := r == q.published+1 && len(events) > 0
	q.published = r
	if !q.active {
		return false
	}
	idle := len(q.revisions) == 0 && !q.gap
	size := overhead
	for i := range events {
		size += sizeOf(&events[i])
	}
	if q.bytes+size > q.max || !complete {
		q.drop()
		return idle
	}
	q.revisions = append(q.revisions, revision{r, events})
	q.bytes += size
	q.events += len(events)
	return idle
}

// drop forgets all that is queued. Watchers find it in the history.
func (q *queue) drop() {
	clear(q.revisions)
	q.revisions, q.bytes, q.events = q.revisions[:0], 0, 0
	q.gap, q.base = true, q.published
}

func (q *queue) reset(revision, compacted uint64) (wake bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.published, q.compacted = revision, compacted
	if !q.active {
		return false
	}
	q.drop()
	return true
}

// taken is what the matcher takes at once: first the gap, then the revisions.
type taken struct {
	era       uint64
	gap       bool
	base      uint64
	revisions []revision
}

// take is for the matcher, which has cleared what it took before.
func (q *queue) take() taken {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := taken{q.era, q.gap, q.base, q.revisions}
	q.revisions, q.spare = q.spare[:0], q.revisions
	q.gap, q.bytes, q.events = false, 0, 0
	return t
}

// activate begins to queue, unless it is done already.
func (q *queue) activate() (era, published, compacted uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.active {
		q.active = true
		q.era++
	}
	return q.era, q.published, q.compacted
}

// deactivate forgets what is queued: nobody watches any more.
func (q *queue) deactivate() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop()
	q.active, q.gap = false, false
}

func (q *queue) state() (published, compacted uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.published, q.compacted
}
