package watch

import (
	"bytes"
	"fmt"
	"testing"

	"balsa.example/kv"
)

// endless is a history that has a put of each of some keys at every revision.
type endless struct{ events []kv.Event }

// Scan implements History.
func (h endless) Scan(from uint64, yield func(uint64, []kv.Event) bool) error {
	for yield(from, h.events) {
		from++
	}
	return nil
}

// Previous implements History.
func (h endless) Previous(string, uint64) (*kv.Entry, error) { return nil, nil }

// TestWhatAHubKeepsIsBounded lets a hundred groups of watchers fall behind at many places.
func TestWhatAHubKeepsIsBounded(t *testing.T) {
	limits := Limits{PendingBytes: 20_000, RingBytes: 50_000, PieceBytes: 10_000}
	var history endless
	for i := range 10 {
		history.events = append(history.events, kv.Event{Entry: kv.Entry{Key: fmt.Sprint(i), Value: bytes.Repeat([]byte("v"), 100)}})
	}
	h := New(history, 1, 0, limits, func() {})
	s := h.NewStream(NativeFace, func() {})
	for i := range int64(100) {
		_ = s.Watch(Request{ID: i, Span: kv.Span{To: fmt.Sprintf("%02d", i)}, Revision: uint64(i%2) * 2})
	}
	for r := uint64(2); r < 200; r++ {
		h.Publish(r, history.events)
		if h.queue.bytes > limits.PendingBytes || len(h.queue.revisions) > limits.PendingBytes/overhead {
			t.Fatalf("%d bytes pending in %d revisions", h.queue.bytes, len(h.queue.revisions))
		}
		if r%20 == 0 {
			h.Match()
		}
		kept := 0
		for _, g := range h.ring.order {
			kept += g.ring[0].size
		}
		if h.ring.bytes*h.copies > limits.RingBytes || len(h.ring.order) > limits.RingBytes/overhead {
			t.Fatalf("%d bytes in %d batches", h.ring.bytes, len(h.ring.order))
		}
		if r%20 > 15 {
			s.Next(10_000)
		}
		if held := h.pieces.held(); held > h.limits.allPieces() {
			t.Fatalf("%d bytes of pieces, want at most %d", held, h.limits.allPieces())
		}
		for _, p := range h.pieces.recent {
			if len(h.pieces.recent) > keptPieces || p.bytes > 4*limits.PieceBytes || len(p.revisions) > limits.PieceBytes/overhead {
				t.Fatalf("%d pieces, one of %d revisions and %d bytes of batches", len(h.pieces.recent), len(p.revisions), p.bytes)
			}
		}
		if len(s.ready)+len(s.idleList)+s.future > 100 {
			t.Fatalf("%d ready, %d idle, %d in the future", len(s.ready), len(s.idleList), s.future)
		}
	}
	s.Close()
	if h.index.ranges != nil || len(h.index.keys) != 0 || h.ring.bytes != 0 || h.watchers != 0 || h.queue.active {
		t.Errorf("after the last watcher: %+v", h)
	}
}

// A client makes watchers that are behind and cancels them, again and again, and reads the answers, but never all.
func TestWatchersThatAreCanceledBeforeTheirTurnAreForgotten(t *testing.T) {
	h := New(large{kv.Event{Entry: kv.Entry{Key: "k"}}}, 9, 0, Limits{}, func() {})
	s := h.NewStream(NativeFace, func() {})
	for i := range int64(10_000) {
		if err := s.Watch(Request{ID: i, Span: kv.Single("k"), Revision: 2}); err != nil {
			t.Fatal(err)
		}
		if i%10 > 0 {
			if err := s.Cancel(i, ErrCanceled); err != nil {
				t.Fatal(err)
			}
		}
		s.Next(1000)
		if n := len(s.ready); n > 2*len(s.watchers)+65 {
			t.Fatalf("%d watchers, and %d wait for their turn", len(s.watchers), n)
		}
	}
	for i := range int64(10_000) {
		if i%100 > 0 {
			_ = s.Cancel(i, ErrCanceled)
		}
	}
	events := map[int64]bool{}
	for len(events) < 100 {
		out, ok := s.Next(1000)
		if !ok {
			t.Fatalf("%d watchers got events, want 100", len(events))
		}
		for _, id := range out.IDs {
			if out.Kind == Events {
				events[id] = true
			}
		}
	}
	if s.gone < 0 || s.gone > len(s.ready) {
		t.Errorf("%d of %d are gone", s.gone, len(s.ready))
	}
}

// The ring counts what it has: a batch that is dropped or cleared no longer counts.
func TestRingCountsItsBytes(t *testing.T) {
	var r ring
	a, b := &group{}, &group{}
	for i := range uint64(20) {
		r.add(a, &Batch{Revision: 2 * i, size: 10}, 100)
		r.add(b, &Batch{Revision: 2*i + 1, size: 10}, 100)
	}
	if r.bytes != 100 || len(a.ring) != 5 || len(b.ring) != 5 || a.from != 29 || b.from != 30 {
		t.Errorf("%d bytes, %d and %d batches from %d and %d on", r.bytes, len(a.ring), len(b.ring), a.from, b.from)
	}
	r.clear(a, 50)
	if r.bytes != 50 || len(a.ring) != 0 || a.from != 50 || len(r.order) != 5 {
		t.Errorf("%d bytes, %d batches from %d on", r.bytes, len(a.ring), a.from)
	}
	r.add(b, &Batch{Revision: 100, size: 1000}, 100)
	if r.bytes != 0 || len(b.ring) != 0 || b.from != 101 {
		t.Errorf("%d bytes, %d batches from %d on", r.bytes, len(b.ring), b.from)
	}
}

// held is how many bytes all pieces have.
func (p *pieces) held() (bytes int) {
	for _, x := range p.recent {
		bytes += x.size + x.bytes
	}
	return bytes
}

// ending is a history of one event at each revision up to the last, which is huge. It counts how often that is read.
type ending struct {
	last  uint64
	value []byte
	reads int
}

// Scan implements History.
func (h *ending) Scan(from uint64, yield func(uint64, []kv.Event) bool) error {
	for r := from; r <= h.last; r++ {
		e := kv.Event{Entry: kv.Entry{Key: "k", Value: []byte("small")}}
		if r == h.last {
			h.reads++
			e.Value = h.value
		}
		if !yield(r, []kv.Event{e}) {
			break
		}
	}
	return nil
}

// Previous implements History.
func (h *ending) Previous(string, uint64) (*kv.Entry, error) { return nil, nil }

// A revision that is larger than all that may be kept is read once for all who are behind, and then goes, though nobody
// reads anything else.
func TestAHugeRevisionIsKeptWhileSomebodyIsBehind(t *testing.T) {
	history := &ending{last: 30, value: make([]byte, 1_000_000)}
	h := New(history, history.last, 0, Limits{PieceBytes: 1000}, func() {})
	var streams []*Stream
	for i := range int64(5) {
		s := h.NewStream(NativeFace, func() {})
		if err := s.Watch(Request{Span: kv.Single("k"), Filter: Filter{NoDelete: i%2 == 0}, Revision: 2}); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	done := func(s *Stream) bool {
		_, more := s.Next(10_000)
		return !more
	}
	for range 200 {
		for _, s := range streams {
			if s.matchedAll() {
				continue // it has got the last revision, and does not ask for more
			}
			if done(s) {
				t.Fatal("nothing is due")
			}
			if held := h.pieces.held(); held > h.limits.allPieces() && len(h.pieces.recent) > 1 {
				t.Fatalf("%d bytes in %d pieces", held, len(h.pieces.recent))
			}
		}
	}
	if held := h.pieces.held(); history.reads != 1 || held < len(history.value) {
		t.Errorf("the last revision was read %d times for %d streams, and %d bytes are kept", history.reads, len(streams), held)
	}
	for i, s := range streams {
		if held := h.pieces.held(); held < len(history.value) {
			t.Errorf("%d bytes are kept, and %d streams are behind", held, len(streams)-i)
		}
		if i == 0 {
			s.Close()
		} else if !done(s) {
			t.Error("something is due")
		}
	}
	if held := h.pieces.held(); held > h.limits.allPieces() || h.catching != 0 {
		t.Errorf("%d bytes are kept for nobody, %d streams are catching up", held, h.catching)
	}
}

// matchedAll tells whether all watchers of a stream have got all there is.
func (s *Stream) matchedAll() bool { return len(s.notices) == 0 && len(s.ready) == 0 }

// What a batch is encoded to stays with it. Where both faces have streams, both may have encoded it.
func TestABatchCountsForEachFaceThatEncodesIt(t *testing.T) {
	limits := Limits{RingBytes: 30_000, PieceBytes: 5000, PieceBatchBytes: 20_000}
	event := kv.Event{Entry: kv.Entry{Key: "k", Value: make([]byte, 1000)}}
	for faces, both := range []bool{false, true} {
		h := New(large{event}, 100, 0, limits, func() {})
		streams := []*Stream{h.NewStream(EtcdFace, func() {})}
		if both {
			streams = append(streams, h.NewStream(NativeFace, func() {}))
		}
		for _, s := range streams {
			if err := s.Watch(Request{Span: kv.Single("k")}); err != nil {
				t.Fatal(err)
			}
		}
		for r := uint64(101); r < 200; r++ {
			h.Publish(r, []kv.Event{event})
			h.Match()
		}
		copies, size := 2+faces, newBatch(1, []kv.Event{event}).size
		if held := len(h.ring.order) * size * copies; held > limits.RingBytes || held < limits.RingBytes-size*copies {
			t.Errorf("%d copies of %d batches are kept, %d bytes", copies, len(h.ring.order), held)
		}
		if err := streams[0].Watch(Request{ID: 1, Span: kv.Single("k"), Revision: 2}); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			streams[0].Next(1000)
		}
		for _, p := range h.pieces.recent {
			batches := 0
			for _, f := range p.batches {
				batches += len(f.batches)
			}
			if held := batches * size * copies; held != p.bytes || held == 0 {
				t.Errorf("%d copies of %d batches count as %d bytes, want %d", copies, batches, p.bytes, held)
			}
		}
	}
}

// Values of up to 2 MiB change no bound. Watchers of larger ones share them all the same: those who are told at once,
// and those who are behind.
func TestLargeEventsAreShared(t *testing.T) {
	if LimitsFor(2<<20) != DefaultLimits || (Limits{}).withDefaults() != DefaultLimits {
		t.Error("the defaults are others")
	}
	const size = 10 << 20
	limits := LimitsFor(size)
	event := kv.Event{Entry: kv.Entry{Key: "k", Value: make([]byte, size)}}
	h := New(large{event}, 3, 0, limits, func() {})
	watcher := func(revision uint64) *Stream {
		s := h.NewStream(NativeFace, func() {})
		if err := s.Watch(Request{Span: kv.Single("k"), Filter: Filter{Prev: true}, Revision: revision}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	next := func(s *Stream) *Batch {
		for {
			out, ok := s.Next(1000)
			if !ok {
				t.Fatal("nothing is due")
			}
			if out.Kind == Events {
				return out.Batches[0]
			}
		}
	}
	h.NewStream(EtcdFace, func() {}).Close()
	present := []*Stream{watcher(4), watcher(4)}
	h.Publish(4, []kv.Event{event})
	h.Match()
	if a, b := next(present[0]), next(present[1]); a != b || a.Events[0].Prev == nil {
		t.Error("watchers have a copy each")
	}
	h.Publish(5, []kv.Event{event})
	h.Match()
	if h.ring.bytes*h.copies > limits.RingBytes || len(h.ring.order) != 2 {
		t.Errorf("%d bytes of %d batches are kept", h.ring.bytes, len(h.ring.order))
	}
	if a, b := next(watcher(2)), next(watcher(2)); a != b || a.Revision != 2 {
		t.Error("watchers that are behind have a copy each")
	}
}

// large is a history of one event at each revision.
type large struct{ event kv.Event }

// Scan implements History.
func (l large) Scan(from uint64, yield func(uint64, []kv.Event) bool) error {
	for yield(from, []kv.Event{l.event}) {
		from++
	}
	return nil
}

// Previous implements History.
func (l large) Previous(string, uint64) (*kv.Entry, error) { return &l.event.Entry, nil }
