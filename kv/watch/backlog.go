package watch

import "maps"

// Backlog is what watchers have not got yet, for people.
type Backlog struct {
	// Behind are the watchers that read the history, or will when their client reads on: what they are due next is in
	// memory no more.
	Behind int
	// Pending are the events that were published and not matched yet, and the batches in memory that are due to
	// watchers, counted for each of them. A batch has the events of one revision.
	Pending int
}

// Backlog looks at all streams, at one after the other: there may be many watchers, and nothing is matched meanwhile.
func (h *Hub) Backlog() (b Backlog) {
	h.queue.mu.Lock()
	b.Pending = h.queue.events
	h.queue.mu.Unlock()
	h.mu.Lock()
	streams := maps.Clone(h.streams)
	h.mu.Unlock()
	for s := range streams {
		b.addStream(s)
	}
	return b
}

// addStream adds the watchers of a stream. One that was closed has none.
func (b *Backlog) addStream(s *Stream) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for _, c := range s.ready {
		b.add(c)
	}
	if s.reading != nil {
		b.add(s.reading)
	}
}

// add adds the watchers of a cursor that has something to read.
func (b *Backlog) add(c *cursor) {
	if c.next < c.group.from {
		b.Behind += len(c.ids)
	} else {
		b.Pending += len(c.ids) * (len(c.group.ring) - find(c.group.ring, c.next))
	}
}
