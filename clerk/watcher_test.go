package clerk_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"balsa.example/api"
	"balsa.example/clerk"
)

// watchWorld is a history, and servers that have applied some of it. Two of three revisions have
// one or two events.
type watchWorld struct {
	t         *rapid.T
	revision  uint64
	applied   []uint64 // by server
	compacted uint64

	at       int // the server that is watched
	watching bool
	told     bool   // of CREATED
	next     uint64 // what the server sends next
	part     int    // of it that was sent already
}

// eventsOf is what happened at a revision.
func eventsOf(revision uint64) (all []*api.Event) {
	for i := range revision % 3 {
		all = append(all, &api.Event{Entry: &api.Entry{Key: fmt.Appendf(nil, "%d.%d", revision, i), ModRevision: revision}})
	}
	return all
}

// eventful is the first revision from one on that has events.
func eventful(revision uint64) uint64 {
	for revision%3 == 0 {
		revision++
	}
	return revision
}

// update is what the watched server tells next; nil: nothing.
func (w *watchWorld) update() *api.WatchUpdate {
	applied := w.applied[w.at]
	switch kind := rapid.IntRange(0, 9).Draw(w.t, "update"); {
	case kind == 0:
		return &api.WatchUpdate{Kind: api.WatchUpdate_CANCELED, Code: api.Reply_UNAVAILABLE}
	case !w.told:
		w.told = true
		if w.next == 0 {
			w.next = applied + 1
		}
		return &api.WatchUpdate{Kind: api.WatchUpdate_CREATED, Revision: applied}
	case w.next < w.compacted:
		return &api.WatchUpdate{Kind: api.WatchUpdate_CANCELED, Code: api.Reply_COMPACTED, Compacted: w.compacted}
	case eventful(w.next) > applied:
		if w.next <= applied+1 && kind < 5 {
			return &api.WatchUpdate{Kind: api.WatchUpdate_PROGRESS, Revision: applied}
		}
		return nil
	}
	u := &api.WatchUpdate{}
	for range rapid.IntRange(1, 3).Draw(w.t, "batches") {
		if w.next = eventful(w.next); w.next > applied {
			break
		}
		b := &api.EventBatch{Revision: w.next}
		all := eventsOf(w.next)
		n := rapid.IntRange(w.part+1, len(all)).Draw(w.t, "part")
		b.Events, b.More = all[w.part:n], n < len(all)
		if w.part = n; !b.More {
			w.part = 0
			w.next++
		}
		u.Batches = append(u.Batches, b)
	}
	return u
}

// TestWatcherHandsOutExactlyTheHistory lets servers lag, fail and split revisions.
func TestWatcherHandsOutExactlyTheHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		servers := rapid.IntRange(1, 4).Draw(t, "servers")
		w := &watchWorld{t: t, revision: 5, applied: make([]uint64, servers)}
		var endpoints []string
		for i := range servers {
			w.applied[i] = rapid.Uint64Range(1, w.revision).Draw(t, "applied")
			endpoints = append(endpoints, fmt.Sprintf("h:%d", i+1))
		}
		route, err := clerk.NewRoute(endpoints, false)
		if err != nil {
			t.Fatal(err)
		}
		seen := rapid.Uint64Range(0, w.revision).Draw(t, "seen")
		route.Reached(seen)
		from := rapid.SampledFrom([]uint64{0, 0, 2, 4, 8}).Draw(t, "from")
		watcher := clerk.NewWatcher(route, rand.New(rand.NewPCG(1, 2)), clerk.Pace{AttemptNanos: 1, WaitNanos: 8, MaxWaitNanos: 64}, from)
		expect := from // the next revision to be handed out; 0: not known
		handOut := func(deliveries []clerk.Delivery) {
			for _, d := range deliveries {
				if expect == 0 {
					if d.Events != nil || d.Revision < seen {
						t.Fatalf("a watch from now on begins with %v, and %d was seen", d, seen)
					}
					expect = d.Revision + 1
					continue
				}
				if len(d.Events) == 0 {
					if d.Revision < expect || d.Revision >= eventful(expect) {
						t.Fatalf("a mark of %d at %d", d.Revision, expect)
					}
					expect = d.Revision + 1
					continue
				}
				if expect = eventful(expect); d.Revision != expect || len(d.Events) != len(eventsOf(expect)) {
					t.Fatalf("revision %d with %d events, want %d", d.Revision, len(d.Events), expect)
				}
				expect++
			}
		}
		step := watcher.Start()
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch {
			case step.Action == clerk.End:
				if u := watcher.Refusal(); u.Code != api.Reply_COMPACTED || u.Compacted <= expect && expect != 0 {
					t.Fatalf("ended at %d with %v", expect, u)
				}
				return
			case step.Action == clerk.Wait:
				if step.Nanos < 4 || step.Nanos > 64 {
					t.Fatalf("waits for %d", step.Nanos)
				}
				step = watcher.WaitDone()
			case step.Action == clerk.Ask && !(w.watching && w.at == step.Server):
				if step.Revision != expect {
					t.Fatalf("asks from %d on, want %d", step.Revision, expect)
				}
				*w = watchWorld{t: t, revision: w.revision, applied: w.applied, compacted: w.compacted, at: step.Server, watching: true, next: step.Revision}
			}
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0:
				i := rapid.IntRange(0, servers-1).Draw(t, "server")
				if w.applied[i] == w.revision {
					w.revision++
				}
				w.applied[i]++
			case 1:
				if expect > 0 && w.compacted < w.revision && rapid.IntRange(0, 20).Draw(t, "compact") == 0 {
					w.compacted = w.revision
				}
			case 2:
				if w.watching && rapid.Bool().Draw(t, "lost") {
					w.watching = false
					if step = watcher.Lost(); rapid.Bool().Draw(t, "pause") && step.Action == clerk.Ask {
						step = watcher.Paused()
					}
				}
			default:
				if !w.watching {
					continue
				}
				u := w.update()
				if u == nil {
					continue
				}
				var deliveries []clerk.Delivery
				deliveries, step = watcher.Update(u, nil)
				handOut(deliveries)
				w.watching = u.Kind != api.WatchUpdate_CANCELED
			}
		}
	})
}
