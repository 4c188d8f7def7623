package sim

import (
	"time"

	"balsa.example/raft"
)

// Instant is virtual time since the start of a run.
type Instant = time.Duration

// event is what happens at a time: a function is called, or a message arrives. What most events
// need is in fields, since a closure for each of them would be most of the garbage of a run.
type event struct {
	do      func()
	message raft.Message // that arrives, if do is nil
	// node, if not nil, is that of a process. do is called only while that lives, and not while it is paused.
	node *node
	life int
	hung *Instant // if not nil, do waits until then
}

// due is when an event happens, and which one it is. Events of the same time are in the order in
// which they were added, so that a run has one order only: key is the number of the event, and in
// its low bits the place of the event in the queue.
type due struct {
	at  Instant
	key uint64
}

// placeBits is how many bits of a key are the place: so many events may wait, and the numbers
// have room for more of them than any run has.
const placeBits = 24

func (d due) before(e due) bool { return d.at < e.at || d.at == e.at && d.key < e.key }

// queue is a heap, in which each has up to four children. The events themselves do not move.
type queue struct {
	heap   []due
	events []event
	free   []uint64 // places of events
	seq    uint64
}

func (q *queue) add(at Instant, e event) {
	q.seq++
	d := due{at, q.seq<<placeBits | q.place(e)}
	q.heap = append(q.heap, d)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !d.before(q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = d
}

// place stores an event, and returns where.
func (q *queue) place(e event) uint64 {
	last := len(q.free) - 1
	if last < 0 {
		q.events = append(q.events, e)
		return uint64(len(q.events) - 1)
	}
	at := q.free[last]
	q.free = q.free[:last]
	q.events[at] = e
	return at
}

// take removes the next event. The queue must not be empty.
func (q *queue) take() (Instant, event) {
	first := q.heap[0]
	last := len(q.heap) - 1
	moved := q.heap[last]
	q.heap = q.heap[:last]
	if last > 0 {
		q.sink(moved)
	}
	at := first.key & (1<<placeBits - 1)
	e := q.events[at]
	q.events[at] = event{}
	q.free = append(q.free, at)
	return first.at, e
}

// sink puts d, in place of the first, where it belongs.
func (q *queue) sink(d due) {
	h := q.heap
	i := 0
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		least, x := child, h[child]
		for j := child + 1; j < min(child+4, len(h)); j++ {
			if h[j].before(x) {
				least, x = j, h[j]
			}
		}
		if !x.before(d) {
			break
		}
		h[i] = x
		i = least
	}
	h[i] = d
}
