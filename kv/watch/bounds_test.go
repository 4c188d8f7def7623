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
	s := h.NewStream(func() {})
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
		if h.ring.bytes > limits.RingBytes || len(h.ring.order) > limits.RingBytes/overhead {
			t.Fatalf("%d bytes in %d batches", h.ring.bytes, len(h.ring.order))
		}
		if r%20 > 15 {
			s.Next(10_000)
		}
		for _, p := range h.pieces.recent {
			if len(h.pieces.recent) > keptPieces || p.bytes > cachedPerPiece*limits.PieceBytes || len(p.revisions) > limits.PieceBytes/overhead {
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
