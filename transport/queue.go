package transport

import (
	"sync"

	"balsa.example/internal/wake"
	"balsa.example/raft"
)

// queue holds the messages that wait to be written to one peer. It is closed, and
// empty, while there is no connection.
type queue struct {
	maxBytes, maxMessages int
	// ready is set when there may be something to take.
	ready wake.Signal

	mu       sync.Mutex
	isOpen   bool
	messages []raft.Message
	// bytes and count are the size of messages and of what was taken but is not done.
	bytes, count int
}

func newQueue(l Limits) queue {
	return queue{maxBytes: l.QueueBytes, maxMessages: l.QueueMessages, ready: wake.New()}
}

// put appends the messages that there is room for and returns the number of the others.
func (q *queue) put(ms []raft.Message) (dropped int) {
	q.mu.Lock()
	for _, m := range ms {
		n := raft.MessageSize(m)
		if !q.isOpen || !q.hasRoom(m, n) {
			dropped++
			continue
		}
		q.messages = append(q.messages, m)
		q.bytes += n
		q.count++
	}
	q.mu.Unlock()
	if dropped < len(ms) {
		q.ready.Set()
	}
	return dropped
}

// hasRoom tells whether m, of n bytes, may wait here. An operation that is forwarded may only
// while less than half is taken, so that it does not keep out what keeps the cluster going.
func (q *queue) hasRoom(m raft.Message, n int) bool {
	switch {
	case q.count == 0:
		return true
	case m.Kind() == raft.KindPropose && (q.count >= q.maxMessages/2 || q.bytes >= q.maxBytes/2):
		return false
	}
	return q.count < q.maxMessages && q.bytes+n <= q.maxBytes
}

// take returns all messages, and their place in batch's array. They count as
// queued until they are done.
func (q *queue) take(batch []raft.Message) []raft.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch, q.messages = q.messages, batch[:0]
	return batch
}

// done makes room: messages of n bytes in all have been written.
func (q *queue) done(count, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count -= count
	q.bytes -= n
}

func (q *queue) open() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.isOpen = true
}

// close empties the queue and returns how many messages are lost.
func (q *queue) close() (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	dropped = q.count
	q.isOpen, q.messages, q.bytes, q.count = false, nil, 0, 0
	return dropped
}
