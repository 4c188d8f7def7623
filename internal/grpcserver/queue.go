package grpcserver

// queue is a list of streams that wait for the writer. A stream is in one at most, and leaves it when it
// ends. conn.mu guards it.
type queue struct{ first, last *stream }

// place is where a stream is in a queue.
type place struct {
	in         *queue // nil: in none
	next, prev *stream
}

func (q *queue) empty() bool { return q.first == nil }

// add adds a stream that is in no queue.
func (q *queue) add(st *stream) {
	st.place = place{in: q, prev: q.last}
	if q.last == nil {
		q.first = st
	} else {
		q.last.place.next = st
	}
	q.last = st
}

// take takes the first stream, nil if there is none.
func (q *queue) take() *stream {
	st := q.first
	st.leave()
	return st
}

// leave takes a stream out of its queue, if it is in one.
func (st *stream) leave() {
	if st == nil || st.place.in == nil {
		return
	}
	p := st.place
	if p.prev == nil {
		p.in.first = p.next
	} else {
		p.prev.place.next = p.next
	}
	if p.next == nil {
		p.in.last = p.prev
	} else {
		p.next.place.prev = p.prev
	}
	st.place = place{}
}
