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

// events is what happened since the loop last looked.
type events[Result any] struct {
	submits, reads []*pending[Result]
	messages       []raft.Message
	// calls run on the loop; with nil when the node has stopped.
	calls     []func(*Replica[*pending[Result]])
	persisted uint64
	applied   raft.Index
}

// inbox gathers events for the loop.
type inbox[Result any] struct {
	wake   chan struct{}
	mu     sync.Mutex
	events events[Result]
	closed bool
}

// Bounds on what may wait for the loop. It empties the inbox at each turn, so that
// they are reached only when it cannot keep up at all.
const (
	maxInboxSubmits  = 1 << 16
	maxInboxMessages = 1 << 14
)

func (b *inbox[Result]) addSubmit(p *pending[Result]) error {
	return b.addWaiter(&b.events.submits, p)
}

func (b *inbox[Result]) addRead(p *pending[Result]) error {
	return b.addWaiter(&b.events.reads, p)
}

func (b *inbox[Result]) addWaiter(list *[]*pending[Result], p *pending[Result]) error {
	b.mu.Lock()
	closed, full := b.closed, len(*list) >= maxInboxSubmits
	if !closed && !full {
		*list = append(*list, p)
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

func (b *inbox[Result]) addMessage(m raft.Message) {
	b.mu.Lock()
	if !b.closed && len(b.events.messages) < maxInboxMessages {
		b.events.messages = append(b.events.messages, m)
	}
	b.mu.Unlock()
	signal(b.wake)
}

func (b *inbox[Result]) addPersisted(seq uint64) {
	b.mu.Lock()
	b.events.persisted = max(b.events.persisted, seq)
	b.mu.Unlock()
	signal(b.wake)
}

func (b *inbox[Result]) addApplied(index raft.Index) {
	b.mu.Lock()
	b.events.applied = max(b.events.applied, index)
	b.mu.Unlock()
	signal(b.wake)
}

// call runs f on the loop with the replica, or with nil, perhaps here, when there
// is none any more.
func (b *inbox[Result]) call(f func(*Replica[*pending[Result]])) {
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.events.calls = append(b.events.calls, f)
	}
	b.mu.Unlock()
	if closed {
		f(nil)
		return
	}
	signal(b.wake)
}

func (b *inbox[Result]) take() events[Result] {
	b.mu.Lock()
	defer b.mu.Unlock()
	ev := b.events
	b.events = events[Result]{}
	return ev
}

func (b *inbox[Result]) close() events[Result] {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	ev := b.events
	b.events = events[Result]{}
	return ev
}
