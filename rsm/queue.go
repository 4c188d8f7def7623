package rsm

import (
	"slices"
	"sync"

	"balsa.example/internal/wake"
	"balsa.example/raft"
)

// queue hands tasks from the loop to one other goroutine. The disk takes all that wait at once. The state machine
// takes one after the other, so that those which it has not begun can be taken back. The queue needs no bound of
// its own. The core bounds the entries that wait: for the disk by raft.Config.MaxUnstableBytes, to be applied by
// MaxPendingBytes and MaxUnappliedBytes. Other tasks come with an election or the end of a snapshot, and are small.
type queue[T any] struct {
	wake   wake.Signal
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
	q.wake.Set()
}

func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	tasks := q.tasks
	q.tasks = nil
	return tasks
}

// first takes the oldest task, false if none waits.
func (q *queue[T]) first() (t T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.tasks) == 0 {
		return t, false
	}
	var none T
	t, q.tasks[0] = q.tasks[0], none
	q.tasks = q.tasks[1:]
	return t, true
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
	wake   wake.Signal
	mu     sync.Mutex
	events Events[W]
	// submitBytes and messageBytes are about the sizes of events.Submits and Messages. They
	// are bounded apart, so that operations cannot keep out messages.
	submitBytes, messageBytes int
	closed                    bool
}

// Bounds on what may wait for the loop. It empties the inbox in each turn, so they are
// reached only when it cannot keep up at all. Not bounded are events of which a replica or
// member causes only one at a time: ends of snapshots, and the progress of disk and apply.
const (
	maxInboxWaiters     = 1 << 16 // in each list of callers that wait
	maxInboxMessages    = 1 << 14
	maxInboxBytes       = 64 << 20 // of operations, and of messages; the last may exceed it
	maxInboxUnreachable = 1 << 8
)

func (b *inbox[W]) addSubmit(s Submission[W]) error {
	return addTo(b, &b.events.Submits, s, len(s.Data))
}

func (b *inbox[W]) addRead(q ReadRequest[W]) error { return addTo(b, &b.events.Reads, q, 0) }

func (b *inbox[W]) addSnapshotOffer(o SnapshotOffer[W]) error {
	return addTo(b, &b.events.SnapshotOffers, o, 0)
}

func (b *inbox[W]) addChange(c Change[W]) error { return addTo(b, &b.events.Changes, c, 0) }

// ask runs f on the loop, or here with nil when the loop has ended. If it returns an error,
// because too many wait, f does not run.
func (b *inbox[W]) ask(f func(*Replica[W])) error {
	err := addTo(b, &b.events.Calls, f, 0)
	if err == ErrStopped {
		f(nil)
		return nil
	}
	return err
}

// addTo adds x to one of the lists of b that hold a caller that waits. bytes is the size of
// an operation, else 0.
func addTo[W, T any](b *inbox[W], list *[]T, x T, bytes int) error {
	b.mu.Lock()
	closed, full := b.closed, len(*list) >= maxInboxWaiters || bytes > 0 && b.submitBytes >= maxInboxBytes
	if !closed && !full {
		*list = append(*list, x)
		b.submitBytes += bytes
	}
	b.mu.Unlock()
	switch {
	case closed:
		return ErrStopped
	case full:
		return ErrBusy
	}
	b.wake.Set()
	return nil
}

// addMessage drops a message for which there is no room. Operations that members forward take
// up no more than half, so that they do not keep out what keeps the cluster going.
func (b *inbox[W]) addMessage(m raft.Message) {
	bytes, maxMessages, maxBytes := raft.MessageSize(m), maxInboxMessages, maxInboxBytes
	if m.Kind() == raft.KindPropose {
		maxMessages, maxBytes = maxMessages/2, maxBytes/2
	}
	b.mu.Lock()
	if !b.closed && len(b.events.Messages) < maxMessages && b.messageBytes < maxBytes {
		b.events.Messages = append(b.events.Messages, m)
		b.messageBytes += bytes
	}
	b.mu.Unlock()
	b.wake.Set()
}

// addUnreachable adds a hint, unless there is one for this member already.
func (b *inbox[W]) addUnreachable(id raft.NodeID) {
	b.mu.Lock()
	if list := b.events.Unreachable; !b.closed && len(list) < maxInboxUnreachable && !slices.Contains(list, id) {
		b.events.Unreachable = append(list, id)
	}
	b.mu.Unlock()
	b.wake.Set()
}

func (b *inbox[W]) addPersisted(seq uint64) {
	b.mu.Lock()
	b.events.Persisted = max(b.events.Persisted, seq)
	b.mu.Unlock()
	b.wake.Set()
}

func (b *inbox[W]) addApplied(index raft.Index) {
	b.mu.Lock()
	b.events.Applied = max(b.events.Applied, index)
	b.mu.Unlock()
	b.wake.Set()
}

// call runs f on the loop with the replica, or with nil when the loop has ended, perhaps
// here. It is not bounded, so it is only for what the replica itself asked for, like the end
// of a snapshot. Calls of others go through ask.
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
	b.wake.Set()
}

// take returns all events that gathered. It reuses the memory of those taken before.
func (b *inbox[W]) take(before Events[W]) Events[W] {
	before.reset()
	b.mu.Lock()
	defer b.mu.Unlock()
	ev := b.events
	b.events, b.submitBytes, b.messageBytes = before, 0, 0
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
