package watch

import (
	"errors"
	"fmt"

	"balsa.example/kv"
)

// Next returns what the client is to be told next. Events are cut between revisions, before
// they exceed maxBytes bytes. It returns false when there is nothing: then the stream's wake
// is called when there is. One goroutine at a time may call Next. It may read files: a part of
// the history, after which a watcher for whom it has nothing gets a progress mark.
//
// A watcher has moved on when Next returns its events, and not before.
func (s *Stream) Next(maxBytes int) (*Output, bool) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for !s.closed {
		if s.notice() || s.mark() || s.markAsked() {
			return &s.out, true
		}
		c := s.pop()
		switch {
		case c == nil && s.wanted && s.future == 0 && h.matched >= s.progress:
			s.wanted = false
			s.begin(Progress, nil, h.matched)
			return &s.out, true
		case c == nil:
			s.woken = false
			return nil, false
		case c.next < c.group.from:
			if s.catchUp(c, maxBytes) {
				return &s.out, true
			}
		default:
			if s.handOut(c, c.group.ring, h.matched, maxBytes) {
				return &s.out, true
			}
		}
	}
	s.caughtUp()
	return nil, false
}

// begin makes out a new Output.
func (s *Stream) begin(kind Kind, ids []int64, revision uint64) {
	clear(s.out.Batches)
	s.out = Output{
		Kind: kind, IDs: append(s.out.IDs[:0], ids...), Revision: revision, Batches: s.out.Batches[:0],
	}
}

// notice takes the next notice, if there is one.
func (s *Stream) notice() bool {
	if len(s.notices) == 0 {
		return false
	}
	n := s.notices[0]
	s.notices[0] = Output{}
	s.notices = s.notices[1:]
	s.begin(n.Kind, n.IDs, n.Revision)
	s.out.Compacted, s.out.Err = n.Compacted, n.Err
	return true
}

// mark makes the progress mark of the next idle cursor that is due one. Nothing that its
// watchers are to be told is on the way, so it need not wait for what others are due. Each is told once, whatever is
// matched meanwhile: else what others are due would wait for as long as something is.
func (s *Stream) mark() bool {
	s.markAt = min(s.markAt, len(s.idleList))
	for s.markAt > 0 {
		s.markAt--
		if c := s.idleList[s.markAt]; c.told < s.hub.matched {
			c.told = s.hub.matched
			s.begin(Progress, c.ids, c.told)
			return true
		}
	}
	return false
}

// markAsked makes the progress mark of the next watcher for which MarkEach has asked.
func (s *Stream) markAsked() bool {
	for len(s.asked) > 0 {
		id := s.asked[0]
		s.asked = s.asked[1:]
		if w := s.watchers[id]; w != nil && w.cursor.state == idle {
			s.begin(Progress, []int64{id}, s.hub.matched)
			return true
		}
	}
	s.asked = nil
	return false
}

// pop takes the next cursor that has something to read. Each gets its turn. If there is none the stream has caught up.
func (s *Stream) pop() *cursor {
	for len(s.ready) > 0 {
		c := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		if len(c.ids) > 0 {
			c.state = nowhere
			return c
		}
		s.gone--
	}
	s.caughtUp()
	return nil
}

// handOut hands out batches from the cursor's place on, and moves the cursor on. There are no
// others up to the revision end. It returns false if none is due.
func (s *Stream) handOut(c *cursor, batches []*Batch, end uint64, maxBytes int) bool {
	batches = batches[find(batches, c.next):]
	if len(batches) == 0 {
		c.next = max(c.next, end+1)
		s.hub.place(c)
		return false
	}
	s.begin(Events, c.ids, 0)
	for size := 0; len(batches) > 0; batches = batches[1:] {
		if size += batches[0].Size(); size > maxBytes && len(s.out.Batches) > 0 {
			break
		}
		s.out.Batches = append(s.out.Batches, batches[0])
		c.told = batches[0].Revision
	}
	s.out.Revision = c.told
	if c.next = c.told + 1; len(batches) == 0 {
		c.next = end + 1
	}
	s.hub.place(c)
	return true
}

// catchUp hands out what a cursor that is behind is due, from the history. If that is nothing it
// tells how far the history was read, which may go on for long. It returns false if the cursor is
// elsewhere now. Caller holds Hub.mu, which is not held while the history is read.
func (s *Stream) catchUp(c *cursor, maxBytes int) bool {
	h := s.hub
	generation, copies := h.generation, h.copies
	c.state, s.reading = reading, c
	if !s.catching {
		s.catching = true
		h.catching++
	}
	h.mu.Unlock()
	found, err := h.pieces.read(h.history, c.group, c.next, generation, copies, &h.limits)
	h.mu.Lock()
	c.state, s.reading = nowhere, nil
	_, compacted := h.queue.state()
	switch {
	case len(c.ids) == 0: // its watchers were canceled meanwhile
	case generation != h.generation:
		h.place(c)
	case c.next < compacted || errors.Is(err, kv.ErrCompacted):
		_ = s.end(c, kv.ErrCompacted, compacted)
	case err != nil:
		_ = s.end(c, fmt.Errorf("%w: %w", ErrHistory, err), 0)
	case find(found.batches, c.next) == len(found.batches):
		c.next, c.told = found.end+1, found.end
		s.begin(Progress, c.ids, c.told)
		h.place(c)
		return true
	default:
		return s.handOut(c, found.batches, found.end, maxBytes)
	}
	return false
}
