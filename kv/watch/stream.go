package watch

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"balsa.example/kv"
)

var (
	// ErrDuplicateID refuses a watcher whose id a watcher of the stream has.
	ErrDuplicateID = errors.New("watch: the id is in use")
	// ErrEmptySpan refuses a watcher of a span that can hold no key.
	ErrEmptySpan = errors.New("watch: no key can be in the range")
	// ErrTooMany refuses a watcher because there are too many.
	ErrTooMany = errors.New("watch: too many watchers")
	// ErrCanceled ends a watcher whose client has asked for that.
	ErrCanceled = errors.New("watch: canceled by the client")
	// ErrClosed refuses a watcher of a stream that was closed.
	ErrClosed = errors.New("watch: the stream is closed")
	// ErrUnread says that the client leaves so many answers unread that the stream is to be
	// closed.
	ErrUnread = errors.New("watch: the answers are not read")
	// ErrHistory ends a watcher that is behind, if the history cannot be read.
	ErrHistory = errors.New("watch: the history cannot be read")
)

// Request asks for a watcher.
type Request struct {
	// ID is the client's name for it, unique among the watchers of the stream.
	ID   int64
	Span kv.Span
	// Revision is the first one that the watcher wants; 0: the next one.
	Revision uint64
	Filter
}

// Kind says what an Output is.
type Kind uint8

const (
	// Created: there is a watcher now.
	Created Kind = iota + 1
	// Refused: the watcher was not made, because of Err. One that has the id goes on.
	Refused
	// Events: Batches are what the watchers are due.
	Events
	// Progress: the watchers have got all events up to Revision. Without IDs that is true of
	// all watchers of the stream.
	Progress
	// Canceled: the watchers have ended, because of Err. With kv.ErrCompacted, Compacted is
	// the lowest revision that can be watched from.
	Canceled
)

// Output is what a client is to be told. It is valid until the next call of Next.
type Output struct {
	Kind Kind
	IDs  []int64
	// Revision is that of the store when a watcher was created, was refused or ended, of the last
	// event, or of the progress.
	Revision  uint64
	Batches   []*Batch
	Compacted uint64
	Err       error
}

// watcher is one of a stream.
type watcher struct {
	cursor *cursor
	place  int // in cursor.ids
}

// Stream is the watchers of one client. What they are due comes from Next, in order.
type Stream struct {
	hub  *Hub
	wake func()

	// Hub.mu guards all that follows.
	watchers map[int64]*watcher
	idle     map[*group]*cursor
	idleList []*cursor
	ready    []*cursor // and some that are gone: fewer than the others, but for a few
	gone     int       // of ready
	reading  *cursor   // by Next, from the history; nil: none
	// catching: Next has read the history, and something was due since each time. The stream counts in Hub.catching.
	catching bool
	future   int      // how many cursors are in Hub.future
	notices  []Output // Created, Refused and Canceled
	// wanted tells that the client has asked for progress, when the store was at the revision
	// progress. asking tells whether the stream is among Hub.asking.
	wanted, asking bool
	progress       uint64
	// markAt is how many idle cursors, the first of idleList, are still to be told how far they are. What goes from
	// there is replaced by the last of the list, so that they are told from the last on.
	markAt int
	// asked are watchers that are to be told how far they are, if they are idle.
	asked []int64

	woken  bool // and Next has not said since that there is nothing
	closed bool
	out    Output // of Next
}

// NewStream returns a stream without watchers, which has to be closed in the end. Its batches are encoded by no other
// face than f. wake is called when Next has something after it had nothing. It must not block, and not call the Hub.
func (h *Hub) NewStream(f Face, wake func()) *Stream {
	s := &Stream{hub: h, wake: wake, watchers: map[int64]*watcher{}, idle: map[*group]*cursor{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[s] = struct{}{}
	if !h.seen[f] {
		h.seen[f] = true
		h.copies++
	}
	return s
}

// rouse wakes the stream's reader.
func (s *Stream) rouse() {
	if !s.woken && !s.closed {
		s.woken = true
		s.wake()
	}
}

// noticesPerWatcher is how many notices may wait for each watcher that a stream may have.
const noticesPerWatcher = 4

// notify queues a notice. It returns ErrUnread if so many wait that the client does not read.
func (s *Stream) notify(o Output) error {
	if o.Kind != Created {
		o.Revision, _ = s.hub.queue.state()
	}
	s.notices = append(s.notices, o)
	s.rouse()
	if len(s.notices) > noticesPerWatcher*s.hub.limits.StreamWatchers {
		return ErrUnread
	}
	return nil
}

// Watch makes a watcher: Next tells. Any error but ErrUnread says that there is none.
func (s *Stream) Watch(r Request) error {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := s.refusal(r); err != nil {
		return err
	}
	era, published, compacted := h.queue.activate()
	if era != h.era {
		h.era, h.matched = era, published
	}
	told, asked := uint64(0), r.Revision
	switch asked {
	case 0:
		r.Revision, told = published+1, published
	case 1:
		r.Revision = 2 // an empty store is at revision 1: it has no events
	}
	h.watchers++
	c := &cursor{stream: s, group: h.groupOf(r.Span, r.Filter), next: r.Revision, told: told}
	w := &watcher{}
	s.watchers[r.ID] = w
	c.add(r.ID, w)
	err := s.notify(Output{Kind: Created, IDs: []int64{r.ID}, Revision: published})
	if asked > 0 && asked < compacted { // also where all that was compacted is the empty first revision
		return s.end(c, kv.ErrCompacted, compacted)
	}
	h.place(c)
	return err
}

// Refuse tells the client that a watcher was not made, because of err. It returns nil or
// ErrUnread.
func (s *Stream) Refuse(id int64, err error) error {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.closed {
		return nil
	}
	return s.notify(Output{Kind: Refused, IDs: []int64{id}, Err: err})
}

// refusal tells why a watcher cannot be made.
func (s *Stream) refusal(r Request) error {
	limits := s.hub.limits
	switch {
	case s.closed:
		return ErrClosed
	case s.watchers[r.ID] != nil:
		return fmt.Errorf("id %d: %w", r.ID, ErrDuplicateID)
	case r.Span.Empty():
		return fmt.Errorf("range from %q to %q: %w", r.Span.From, r.Span.To, ErrEmptySpan)
	case len(s.watchers) >= limits.StreamWatchers:
		return fmt.Errorf("the stream has %d watchers, the limit is %d: %w", len(s.watchers), limits.StreamWatchers, ErrTooMany)
	case s.hub.watchers >= limits.Watchers:
		return fmt.Errorf("the server has %d watchers, the limit is %d: %w", s.hub.watchers, limits.Watchers, ErrTooMany)
	}
	return nil
}

// groupOf returns the group of a span and filter, with one cursor more.
func (h *Hub) groupOf(span kv.Span, f Filter) *group {
	n := h.index.at(span)
	for _, g := range n.groups {
		if g.Filter == f {
			g.cursors++
			return g
		}
	}
	g := &group{Span: span, Filter: f, from: h.matched + 1, cursors: 1}
	n.groups = append(n.groups, g)
	return g
}

// release notes that a group has a cursor less.
func (h *Hub) release(g *group) {
	if g.cursors--; g.cursors > 0 {
		return
	}
	n := h.index.at(g.Span)
	n.groups = slices.DeleteFunc(n.groups, func(o *group) bool { return o == g })
	if len(n.groups) == 0 {
		h.index.remove(g.Span)
	}
}

// Cancel ends a watcher because of reason, if there is one: ErrCanceled if its client asks for
// that. It returns nil or ErrUnread.
func (s *Stream) Cancel(id int64, reason error) error {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	w := s.watchers[id]
	if w == nil {
		return nil // it may have ended by itself meanwhile
	}
	s.forget(id, w)
	return s.notify(Output{Kind: Canceled, IDs: []int64{id}, Err: reason})
}

// CancelAll ends all watchers of the stream because of err.
func (s *Stream) CancelAll(err error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if ids := s.forgetAll(); len(ids) > 0 {
		_ = s.notify(Output{Kind: Canceled, IDs: ids, Err: err})
	}
}

// Close ends the stream and its watchers. Next has nothing any more.
func (s *Stream) Close() {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.forgetAll()
	delete(h.streams, s)
	s.closed = true
	s.notices, s.ready, s.gone, s.asked, s.out = nil, nil, 0, nil, Output{}
	if s.reading == nil { // else Next does it
		s.caughtUp()
	}
}

// caughtUp notes that nothing is due of the history for now. The last one of those who were behind leaves no more of it
// than may always be kept.
func (s *Stream) caughtUp() {
	if !s.catching {
		return
	}
	s.catching = false
	if s.hub.catching--; s.hub.catching == 0 {
		s.hub.pieces.release(s.hub.limits.allPieces())
	}
}

// end ends the watchers of a cursor, which is nowhere.
func (s *Stream) end(c *cursor, err error, compacted uint64) error {
	ids := slices.Clone(c.ids)
	for _, id := range ids {
		s.forget(id, s.watchers[id])
	}
	return s.notify(Output{Kind: Canceled, IDs: ids, Err: err, Compacted: compacted})
}

// forgetAll removes all watchers.
func (s *Stream) forgetAll() (ids []int64) {
	ids = slices.Sorted(maps.Keys(s.watchers))
	for _, id := range ids {
		s.forget(id, s.watchers[id])
	}
	return ids
}

// forget removes a watcher.
func (s *Stream) forget(id int64, w *watcher) {
	h, c := s.hub, w.cursor
	c.remove(w)
	delete(s.watchers, id)
	if len(c.ids) == 0 {
		if c.state == ready {
			s.leftReady()
		}
		h.unplace(c)
		h.release(c.group)
	}
	if h.watchers--; h.watchers == 0 {
		h.retire()
	}
}

// leftReady notes that a cursor in ready is gone. A client that makes watchers and cancels them could have any number there,
// while it is due the answers to that.
func (s *Stream) leftReady() {
	if s.gone++; s.gone < 64 || s.gone < len(s.ready)/2 {
		return
	}
	s.ready = slices.DeleteFunc(s.ready, func(c *cursor) bool { return len(c.ids) == 0 })
	s.gone = 0
}

// retire notes that nobody watches any more. What was published is matched for nobody, so that all of it counts as
// matched: a stream may have asked for progress. What the matcher has taken is of an earlier era from now on.
func (h *Hub) retire() {
	h.queue.deactivate()
	h.ring = ring{}
	h.era = 0
	h.matched, _ = h.queue.state()
	h.answer()
}

// notIdle takes a cursor from what the stream has of idle ones.
func (s *Stream) notIdle(c *cursor) {
	last := len(s.idleList) - 1
	moved := s.idleList[last]
	s.idleList[c.inStream], moved.inStream = moved, c.inStream
	s.idleList[last] = nil
	s.idleList = s.idleList[:last]
	delete(s.idle, c.group)
}

// AskProgress asks for a progress mark of the whole stream. It comes when all its watchers
// have got what had been published before AskProgress.
func (s *Stream) AskProgress() {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.closed {
		return
	}
	published, _ := h.queue.state()
	if h.watchers == 0 {
		h.matched = published
	}
	s.wanted, s.progress = true, published
	if h.matched < published && !s.asking {
		s.asking = true
		h.asking = append(h.asking, s)
	}
	s.rouse()
}

// Mark asks for a progress mark of each watcher that has got all there is, unless its client
// knows that already. A server does that from time to time, so that a watcher to whom nothing
// happens need not begin long ago when it moves to another server.
func (s *Stream) Mark() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.markAt = len(s.idleList); s.markAt > 0 {
		s.rouse()
	}
}

// MarkEach asks for a progress mark of each of some watchers that has got all there is, also if
// its client knows that already. Others get none. It takes the place of what was asked before,
// and keeps ids.
func (s *Stream) MarkEach(ids []int64) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if !s.closed && len(ids) > 0 {
		s.asked = ids
		s.rouse()
	}
}
