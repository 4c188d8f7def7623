package watch_test

import (
	"testing"

	"balsa.example/kv/watch"
)

func TestBacklogIsWhatWatchersHaveNotGot(t *testing.T) {
	s := newStore(watch.Limits{RingBytes: 1000})
	c := newClient(t, s)
	wants := func(when string, behind, pending int) {
		t.Helper()
		if got := s.hub.Backlog(); got.Behind != behind || got.Pending != pending {
			t.Errorf("%s: %+v, want %d watchers behind and %d pending", when, got, behind, pending)
		}
	}
	c.watch(watch.Request{ID: 1})
	c.watch(watch.Request{ID: 2})
	c.drain()
	wants("without events", 0, 0)
	s.change("a b")
	wants("after a revision of two events", 0, 2)
	s.hub.Match()
	wants("when two watchers are due its batch", 0, 2)
	for range 100 { // more than the ring has room for
		s.change("a")
		s.hub.Match()
	}
	wants("when they do not read", 2, 0)
	s.during = func() { wants("while they read the history", 2, 0) }
	c.settle()
	wants("after that", 0, 0)
	c.watch(watch.Request{ID: 3, Revision: 2})
	wants("of a watcher from the beginning", 1, 0)
	c.stream.Close()
	wants("after its end", 0, 0)
}
