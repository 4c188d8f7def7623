package state_test

import (
	"errors"
	"reflect"
	"testing"

	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/state"

	"pgregory.net/rapid"
)

// watches are those who watch a script's machines: as a client does, they go on at the next
// machine from where they were.
type watches struct {
	s      *script
	hub    *watch.Hub
	stream *watch.Stream
	all    []*watcher // by id
}

// watcher is one of them.
type watcher struct {
	watch.Request
	next uint64 // 0: it was not created yet
	err  error
}

// lateHistory is the history of a machine that publishes to a hub, which has to be there first.
type lateHistory struct{ *state.Machine }

// publisher returns what the next machine is to publish to, and a history that needs that machine.
func (w *watches) publisher() (*watch.Hub, *lateHistory) {
	limits := watch.Limits{
		RingBytes:  w.s.number("ring", 1)*5000 + 1,
		PieceBytes: w.s.number("piece", 1)*2000 + 1, PendingBytes: w.s.number("pending", 1)*5000 + 500,
	}
	history := new(lateHistory)
	w.hub = watch.New(history, 0, 0, limits, func() {})
	return w.hub, history
}

// resume makes the watchers at the machine that was attached last.
func (w *watches) resume() {
	w.stream = w.hub.NewStream(watch.NativeFace, func() {})
	for _, x := range w.all {
		if x.err == nil {
			x.Revision = x.next
			w.watch(x)
		}
	}
}

func (w *watches) watch(x *watcher) {
	if err := w.stream.Watch(x.Request); err != nil {
		w.s.t.Fatal(err)
	}
}

// add makes another watcher.
func (w *watches) add() {
	x := &watcher{Request: watch.Request{
		ID: int64(len(w.all)), Span: w.s.span(),
		Filter: watch.Filter{NoPut: w.s.number("no put", 4) == 0, NoDelete: w.s.number("no delete", 4) == 0, Prev: w.s.flag("prev")},
	}}
	if x.Span.Empty() {
		return
	}
	if w.s.flag("from a revision") {
		x.Revision = w.s.revision()
		x.next = x.Revision
	}
	w.all = append(w.all, x)
	w.watch(x)
}

// hear takes what the watchers are due, or some of it.
func (w *watches) hear(most int) {
	w.hub.Match()
	for range most {
		out, ok := w.stream.Next(w.s.number("bytes", 500))
		if !ok {
			return
		}
		for _, id := range out.IDs {
			w.take(w.all[id], out)
		}
	}
}

func (w *watches) take(x *watcher, out *watch.Output) {
	t := w.s.t
	switch out.Kind {
	case watch.Created:
		if x.next == 0 {
			x.next = out.Revision + 1
		}
	case watch.Events:
		for _, b := range out.Batches {
			w.nothingBefore(x, b.Revision)
			var got []kv.Event
			for _, e := range b.Events {
				got = append(got, normal(e))
			}
			if want := w.due(x, b.Revision); b.Revision < x.next || !reflect.DeepEqual(got, want) {
				t.Fatalf("watcher %+v gets at %d\n%+v, want\n%+v", x, b.Revision, got, want)
			}
			x.next = b.Revision + 1
		}
	case watch.Progress:
		w.nothingBefore(x, out.Revision+1)
		x.next = max(x.next, out.Revision+1)
	case watch.Canceled:
		if x.err = out.Err; !errors.Is(x.err, kv.ErrCompacted) || x.next >= out.Compacted || out.Compacted > w.s.truth.Compacted() {
			t.Fatalf("watcher %+v ends, compacted at %d", x, out.Compacted)
		}
	default:
		t.Fatalf("%+v", out)
	}
}

// due returns the events of a revision that a watcher is due.
func (w *watches) due(x *watcher, revision uint64) (events []kv.Event) {
	for _, e := range w.s.truth.Events(revision) {
		if !x.Span.Contains(e.Key) || e.Deleted && x.NoDelete || !e.Deleted && x.NoPut {
			continue
		}
		if !x.Prev {
			e.Prev = nil
		}
		events = append(events, normal(e))
	}
	return events
}

// normal has no empty values that are not nil.
func normal(e kv.Event) kv.Event {
	if len(e.Value) == 0 {
		e.Value = nil
	}
	if e.Prev != nil && len(e.Prev.Value) == 0 {
		prev := *e.Prev
		prev.Value, e.Prev = nil, &prev
	}
	return e
}

// nothingBefore demands that a watcher has missed nothing before a revision.
func (w *watches) nothingBefore(x *watcher, revision uint64) {
	for r := x.next; r < revision; r++ {
		if missed := w.due(x, r); missed != nil {
			w.s.t.Fatalf("watcher %+v misses at %d %+v", x, r, missed)
		}
	}
}

// complete takes all that there is, and demands that nothing is missing.
func (w *watches) complete() {
	w.hear(1 << 20)
	for _, x := range w.all {
		if x.err == nil && x.next > 0 {
			w.nothingBefore(x, w.s.truth.Revision()+1)
		}
	}
}

// TestWatchersGetTheHistory: whatever happens to the machines, each watcher gets what the naive
// machine says that happened.
func TestWatchersGetTheHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScript(t)
		for range s.number("steps", 120) {
			switch s.number("step", 17) {
			case 0:
				s.checkpoint()
			case 1:
				s.maintain()
			case 2:
				s.crash()
			case 3:
				s.transfer()
			case 4, 5:
				s.watches.add()
			case 6, 7, 8:
				s.watches.hear(s.number("outputs", 5))
			default:
				s.do(s.command())
			}
		}
		s.watches.complete()
	})
}
