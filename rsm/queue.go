package rsm

import (
	"sync"

	"balsa/raft"
)

func newWake() chan struct{} { return make(chan struct{}, 1) }

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// queue hands tasks from the loop to one other goroutine, which takes all that
// wait at once. It needs no bound of its own: what may be in it is bounded by the
// core's windows and by Config.MaxPendingBytes.
type queue[T any] struct {
	wake   chan struct{}
	mu     sync.Mutex
	tasks  []T
	closed bool
}

func (q *queue[T]) add(t T) {
	q.mu.Lock()
	if !q.closed {
		q.tasks = append(q.tasks, t)
	}
	q.mu.Unlock()
	signal(q.wake)
}

func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	tasks := q.tasks
	q.tasks = nil
	return tasks
}

// close returns what was not taken, and makes add a no-op.
func (q *queue[T]) close() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	tasks := q.tasks
	q.tasks = nil
	return tasks
}

// inbox gathers events for the loop.
type inbox[W any] struct {
	wake   chan struct{}
	mu     sync.Mutex
	events Events[W]
	closed bool
}

// Bounds on what may wait for the loop. It empties the inbox at each turn, so that
// they are reached only when it cannot keep up at all.
const (
	maxInboxWaiters  = 1 << 16
	maxInboxMessages = 1 << 14
)

func (b *inbox[W]) addSubmit(s Submission[W]) error { return addTo(b, &b.events.Submits, s) }

func (b *inbox[W]) addRead(q ReadRequest[W]) error { return addTo(b, &b.events.Reads, q) }

func (b *inbox[W]) addOffer(o Offer[W]) error { return addTo(b, &b.events.Offers, o) }

// addTo adds to one of the lists of b that hold somebody who waits.
func addTo[W, T any](b *inbox[W], list *[]T, x T) error {
	b.mu.Lock()
	closed, full := b.closed, len(*list) >= maxInboxWaiters
	if !closed && !full {
		*list = append(*list, x)
	}
	b.mu.Unlock()
	switch {
	case closed:
		return ErrStopped
	case full:
		return ErrBusy
	}
	signal(b.wake)
	return nil
}

func (b *inbox[W]) addMessage(m raft.Message) {
	b.mu.Lock()
	if !b.closed && len(b.events.Messages) < maxInboxMessages {
		b.events.Messages = append(b.events.Messages, m)
	}
	b.mu.Unlock()
	signal(b.wake)
}

func (b *inbox[W]) addPersisted(seq uint64) {
	b.mu.Lock()
	b.events.Persisted = max(b.events.Persisted, seq)
	b.mu.Unlock()
	signal(b.wake)
}

func (b *inbox[W]) addApplied(index raft.Index) {
	b.mu.Lock()
	b.events.Applied = max(b.events.Applied, index)
	b.mu.Unlock()
	signal(b.wake)
}

// call runs f on the loop with the replica, or with nil, perhaps here, when there
// is none any more.
func (b *inbox[W]) call(f func(*Replica[W])) {
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.events.Calls = append(b.events.Calls, f)
	}
	b.mu.Unlock()
	if closed {
		f(nil)
		return
	}
	signal(b.wake)
}

// take returns all that gathered. It uses the space of those who were taken before.
func (b *inbox[W]) take(before Events[W]) Events[W] {
	before.reset()
	b.mu.Lock()
	defer b.mu.Unlock()
	ev := b.events
	b.events = before
	return ev
}

func (b *inbox[W]) close() Events[W] {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	ev := b.events
	b.events = Events[W]{}
	return ev
}
