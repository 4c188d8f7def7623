package index

// queueChunk is how many values a queue allocates, and gives back, at a time.
const queueChunk = 1024

// queue has values of one type, which holds no pointers, from the oldest to the newest. Their
// numbers rise by one and are never used again, so that a number tells whether its value is
// still there.
type queue[T any] struct {
	chunks []*[queueChunk]T // the first has the number first, if there is one
	first  uint64
	next   uint64
}

func (q *queue[T]) at(n uint64) *T {
	return &q.chunks[n/queueChunk-q.first/queueChunk][n%queueChunk]
}

func (q *queue[T]) push(v T) {
	if q.next/queueChunk-q.first/queueChunk == uint64(len(q.chunks)) {
		q.chunks = append(q.chunks, new([queueChunk]T))
	}
	*q.at(q.next) = v
	q.next++
}

// drop forgets the values below number n.
func (q *queue[T]) drop(n uint64) {
	gone := n/queueChunk - q.first/queueChunk
	clear(q.chunks[:gone])
	q.chunks = q.chunks[gone:]
	q.first = n
}

func (q *queue[T]) len() int { return int(q.next - q.first) }
