package watch_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// What other stores got wrong. Each test names what a watcher relies on.

// behind makes a store at revision 21 with a watcher of all keys from revision 2 on, which
// has to read the history in pieces of about three revisions.
func behind(t *testing.T) (*store, *client, *watcher) {
	s := newStore(watch.Limits{PieceBytes: 400})
	for range 20 {
		s.change("a")
	}
	c := newClient(t, s)
	return s, c, c.watch(watch.Request{ID: 1, Revision: 2})
}

func TestProgressDoesNotOvertakeEvents(t *testing.T) {
	s := newStore(watch.Limits{})
	c := newClient(t, s)
	w := c.watch(watch.Request{ID: 1})
	c.watch(watch.Request{ID: 2, Span: kv.Single("quiet")})
	c.drain()
	s.change("a")
	s.hub.Match()
	c.stream.AskProgress()
	c.stream.Mark()
	c.settle()
	if len(w.got) != 1 || !slices.Equal(c.progress, []uint64{2}) {
		t.Errorf("got %v, progress %v", w.got, c.progress)
	}
}

func TestProgressCoversWhatWasPublishedBeforeItWasAskedFor(t *testing.T) {
	s := newStore(watch.Limits{})
	c := newClient(t, s)
	c.watch(watch.Request{ID: 1, Span: kv.Single("quiet")})
	for c.take(1) {
	}
	s.change("a")
	c.stream.AskProgress() // before Match
	for c.take(1) {
	}
	if c.progress != nil {
		t.Errorf("progress %v before the event was matched", c.progress)
	}
	c.woken = false
	s.hub.Match()
	if !c.woken {
		t.Error("the stream was not woken")
	}
	if c.settle(); !slices.Equal(c.progress, []uint64{2}) {
		t.Errorf("progress %v", c.progress)
	}
}

func TestProgressOfTheStreamWaitsForAllWatchers(t *testing.T) {
	s, c, w := behind(t)
	quick := c.watch(watch.Request{ID: 2})
	c.stream.AskProgress()
	for len(w.got) < 19 {
		if !c.take(1) {
			t.Fatal("nothing")
		}
		if c.progress != nil {
			t.Fatal("progress although a watcher is behind")
		}
	}
	if c.settle(); !slices.Equal(c.progress, []uint64{21}) {
		t.Errorf("progress %v", c.progress)
	}
	if len(quick.got) != 0 {
		t.Errorf("got %v", quick.got)
	}
	c.watch(watch.Request{ID: 3, Revision: 30})
	c.stream.AskProgress()
	if c.settle(); len(c.progress) != 1 {
		t.Errorf("progress %v although a watcher waits for revision 30", c.progress)
	}
	for s.revision() < 29 {
		s.change("a")
	}
	if c.settle(); len(c.progress) != 2 || c.progress[1] != 29 {
		t.Errorf("progress %v", c.progress)
	}
}

func TestOldWatcherWithoutEventsGetsProgress(t *testing.T) {
	s, c, _ := behind(t)
	w := c.watch(watch.Request{ID: 2, Span: kv.Single("quiet"), Revision: 2})
	c.drain()
	c.stream.Mark()
	c.settle()
	marks := len(w.marks)
	if marks < 2 || w.marks[marks-1] != s.revision() {
		t.Errorf("marks %v", w.marks)
	}
	c.stream.Mark()
	if c.settle(); len(w.marks) != marks {
		t.Errorf("marks %v: it was told already", w.marks)
	}
}

// Some faces tell a watcher how far it is although it knows, and others need not know.
func TestSomeWatchersAreMarkedAsOftenAsAsked(t *testing.T) {
	s, c, behind := behind(t)
	quiet := c.watch(watch.Request{ID: 2, Span: kv.Single("quiet")})
	other := c.watch(watch.Request{ID: 3, Span: kv.Single("quiet")})
	future := c.watch(watch.Request{ID: 4, Revision: 30})
	for range 4 { // the answers
		c.take(1)
	}
	for range 2 {
		c.stream.MarkEach([]int64{1, 2, 4, 5})
		c.take(1)
	}
	if now := s.revision(); !slices.Equal(quiet.marks, []uint64{now, now}) {
		t.Errorf("marks %v", quiet.marks)
	}
	if all := slices.Concat(behind.marks, other.marks, future.marks); len(all) != 0 {
		t.Errorf("marks %v of others", all)
	}
	c.stream.Mark()
	if c.settle(); len(other.marks) != 0 {
		t.Errorf("marks %v of a watcher that knows from its creation", other.marks)
	}
}

func TestProgressCanBeResumedFromBehindIt(t *testing.T) {
	s := newStore(watch.Limits{})
	c := newClient(t, s)
	w := c.watch(watch.Request{ID: 1})
	s.change("a")
	c.drain()
	c.stream.AskProgress()
	c.drain()
	next := c.watch(watch.Request{ID: 2, Revision: c.progress[0] + 1})
	s.change("b")
	if c.settle(); len(w.got) != 2 || len(next.got) != 1 {
		t.Errorf("got %v, then %v", w.got, next.got)
	}
}

func TestCompactionWhileTheHistoryIsReadIsTold(t *testing.T) {
	s, c, w := behind(t)
	for len(w.got) < 2 {
		c.take(1)
	}
	s.during = func() { s.compact(15) }
	for w.err == nil {
		if !c.take(1) {
			t.Fatalf("%d events, and nothing more", len(w.got))
		}
	}
	if !errors.Is(w.err, kv.ErrCompacted) || w.lowest != 15 {
		t.Errorf("ended with %v, compacted at %d", w.err, w.lowest)
	}
	c.settle()
	again := c.watch(watch.Request{ID: 9, Revision: w.lowest})
	if c.settle(); len(again.got) != 7 {
		t.Errorf("%d events from the compacted revision on", len(again.got))
	}
}

// Compaction removes what is being read only after it has told.
func TestWhatWasReadDuringACompactionIsNotUsed(t *testing.T) {
	s, c, w := behind(t)
	s.after = func() { s.compact(15) }
	c.drain()
	if !errors.Is(w.err, kv.ErrCompacted) || w.lowest != 15 || len(w.got) != 0 {
		t.Errorf("ended with %v, compacted at %d, after %d events", w.err, w.lowest, len(w.got))
	}
}

func TestCompactedWatcherIsGone(t *testing.T) {
	s := newStore(watch.Limits{Watchers: 1})
	for range 5 {
		s.change("a")
	}
	s.compact(4)
	c := newClient(t, s)
	w := c.watch(watch.Request{ID: 1, Revision: 3})
	if c.settle(); !errors.Is(w.err, kv.ErrCompacted) || w.lowest != 4 || w.created != 6 {
		t.Errorf("ended with %v at %d, created at %d", w.err, w.lowest, w.created)
	}
	delete(c.watchers, 1)
	at := c.watch(watch.Request{ID: 1, Revision: 4}) // the only one that there may be
	if c.settle(); at.err != nil || len(at.got) != 3 {
		t.Errorf("at the compacted revision: %v, %d events", at.err, len(at.got))
	}
}

func TestReplacedStateResumesFromTheHistory(t *testing.T) {
	s := newStore(watch.Limits{})
	c := newClient(t, s)
	all := c.watch(watch.Request{ID: 1})
	quiet := c.watch(watch.Request{ID: 2, Span: kv.Single("quiet")})
	s.change("a")
	c.drain()
	s.record("b")
	s.record("-a quiet")
	s.hub.Reset(s.revision(), 0)
	if c.settle(); len(all.got) != 3 || len(quiet.got) != 1 {
		t.Errorf("got %v and %v", all.got, quiet.got)
	}
	s.record("a")
	s.record("b")
	s.compacted = s.revision()
	s.hub.Reset(s.revision(), s.compacted)
	c.drain()
	for _, w := range []*watcher{all, quiet} {
		if !errors.Is(w.err, kv.ErrCompacted) || w.lowest != s.compacted {
			t.Errorf("ended with %v at %d", w.err, w.lowest)
		}
	}
}

// A watcher to whom nothing happened for long has got everything up to the present, and is
// not behind the compacted revision when something is missed.
func TestQuietWatcherOutlivesCompactionAndAGap(t *testing.T) {
	s := newStore(watch.Limits{PendingBytes: 400})
	c := newClient(t, s)
	w := c.watch(watch.Request{ID: 1, Span: kv.Single("quiet")})
	for range 10 {
		s.change("a")
		c.drain()
	}
	s.compact(s.revision())
	for range 9 {
		s.change("a") // more than may be pending
	}
	s.change("quiet")
	if c.settle(); w.err != nil || len(w.got) != 1 {
		t.Errorf("%v, got %v", w.err, w.got)
	}
}

// The store makes no events while nobody watches. Somebody may begin to in the midst of a
// revision.
func TestEventsThatWereNotMadeComeFromTheHistory(t *testing.T) {
	s := newStore(watch.Limits{})
	if s.hub.Active() {
		t.Error("somebody watches")
	}
	s.record("a b")
	c := newClient(t, s)
	w := c.watch(watch.Request{ID: 1})
	s.hub.Publish(s.revision(), nil)
	if c.settle(); !s.hub.Active() || len(w.got) != 1 {
		t.Errorf("got %v", w.got)
	}
}

func TestFirstRevisionIsAFloor(t *testing.T) {
	s := newStore(watch.Limits{})
	s.change("a")
	c := newClient(t, s)
	w := c.watch(watch.Request{ID: 1, Revision: 6})
	for s.revision() < 8 {
		c.stream.AskProgress()
		c.stream.Mark()
		c.settle() // the client refuses marks and events below the floor
		s.change("a")
	}
	s.record("a")
	s.hub.Reset(s.revision(), 0)
	if c.settle(); len(w.got) != 4 || w.got[0].revision != 6 {
		t.Errorf("got %v", w.got)
	}
	w = c.watch(watch.Request{ID: 2, Revision: 12})
	s.hub.Reset(s.revision(), 0)
	s.change("a")
	if c.settle(); len(w.got) != 0 {
		t.Errorf("got %v", w.got)
	}
}

// What was read of a state is not used for the one that replaces it.
func TestReplacedHistoryIsReadAgain(t *testing.T) {
	s := newStore(watch.Limits{})
	for range 5 {
		s.change("a")
	}
	replace := func() {
		s.revisions = s.revisions[:2]
		for range 3 {
			s.record("b")
		}
		s.hub.Reset(s.revision(), 0)
		s.hub.Match()
	}
	c := newClient(t, s)
	c.watch(watch.Request{ID: 1, Span: kv.Single("quiet")}) // so that the hub is told
	before := c.watch(watch.Request{ID: 2, Revision: 2})
	s.after = replace
	c.settle()
	if len(before.got) != 5 || before.got[4].events[0].Key != "b" {
		t.Errorf("got %v", before.got)
	}
	delete(c.watchers, 2)
	replace()
	s.revisions[4][0].Key = "c"
	s.hub.Reset(s.revision(), 0)
	c.drain()
	after := c.watch(watch.Request{ID: 3, Revision: 2})
	if c.settle(); len(after.got) != 5 {
		t.Errorf("got %v", after.got)
	}
}

func TestStateThatGoesBackRepeatsNothing(t *testing.T) {
	s := newStore(watch.Limits{})
	c := newClient(t, s)
	w := c.watch(watch.Request{ID: 1})
	for range 5 {
		s.change("a")
	}
	c.settle()
	s.revisions = s.revisions[:2]
	s.hub.Reset(s.revision(), 0)
	for range 4 {
		s.change("a")
	}
	if c.settle(); len(w.got) != 6 || w.got[5].revision != 7 {
		t.Errorf("got %v", w.got)
	}
}

func TestRevisionIsNeverSplit(t *testing.T) {
	const large = "c a b -d" // in the order in which it happened
	s := newStore(watch.Limits{PieceBytes: 1})
	s.change("d")
	s.change(large)
	c := newClient(t, s)
	old, live := c.watch(watch.Request{ID: 1, Revision: 2}), c.watch(watch.Request{ID: 2})
	s.change(large)
	s.hub.Match()
	for c.take(1) {
	}
	c.settle()
	for _, w := range []*watcher{old, live} {
		var keys []string
		for _, e := range w.got[len(w.got)-1].events {
			keys = append(keys, e.Key)
		}
		if strings.Join(keys, " ") != "c a b d" {
			t.Errorf("%v", keys)
		}
	}
}

func TestOutputsAreCutByBytesBetweenRevisions(t *testing.T) {
	s := newStore(watch.Limits{})
	for range 100 {
		s.change("a b")
	}
	c := newClient(t, s)
	c.watch(watch.Request{ID: 1, Revision: 2})
	c.watch(watch.Request{ID: 2})
	for range 100 {
		s.change("a b")
	}
	s.hub.Match()
	for most := 2000; ; {
		out, ok := c.stream.Next(most)
		if !ok {
			break
		}
		size := 0
		for _, b := range out.Batches {
			size += b.Size()
		}
		if size > most || out.Kind == watch.Events && len(out.Batches) < 2 && out.Revision < 190 {
			t.Errorf("%d bytes in %d batches up to %d", size, len(out.Batches), out.Revision)
		}
	}
}

func TestWhereAWatcherBegins(t *testing.T) {
	s := newStore(watch.Limits{})
	for range 4 {
		s.change("a")
	}
	c := newClient(t, s)
	now, all, at := c.watch(watch.Request{ID: 1}), c.watch(watch.Request{ID: 2, Revision: 1}), c.watch(watch.Request{ID: 3, Revision: 5})
	if c.settle(); len(now.got) != 0 || len(all.got) != 4 || len(at.got) != 1 {
		t.Errorf("%d, %d and %d events", len(now.got), len(all.got), len(at.got))
	}
	if now.created != 5 || all.created != 5 {
		t.Errorf("created at %d and %d", now.created, all.created)
	}
	s.compact(2) // of which no event is lost, and etcd says so nevertheless
	first, second := c.watch(watch.Request{ID: 4, Revision: 1}), c.watch(watch.Request{ID: 5, Revision: 2})
	if c.settle(); !errors.Is(first.err, kv.ErrCompacted) || first.lowest != 2 || second.err != nil || len(second.got) != 4 {
		t.Errorf("from 1 on: %v at %d; from 2 on: %v, %d events", first.err, first.lowest, second.err, len(second.got))
	}
}

func TestRefusalLeavesTheLiveWatcherAlone(t *testing.T) {
	s := newStore(watch.Limits{StreamWatchers: 2, Watchers: 3})
	c, other := newClient(t, s), newClient(t, s)
	w := c.watch(watch.Request{ID: 0})
	other.watch(watch.Request{ID: 0})
	c.watch(watch.Request{ID: 0, Span: kv.Single("a")})
	c.watch(watch.Request{ID: 5, Span: kv.Span{From: "b", To: "a"}})
	c.watch(watch.Request{ID: 1, Span: kv.Single("a")})
	c.watch(watch.Request{ID: 2}) // the stream is full
	other.watch(watch.Request{ID: 1})
	c.settle()
	other.settle()
	for i, want := range []error{watch.ErrDuplicateID, watch.ErrEmptySpan, watch.ErrTooMany} {
		if i >= len(c.refused) || !errors.Is(c.refused[i], want) {
			t.Errorf("refused with %v, want %v at %d", c.refused, want, i)
		}
	}
	if len(other.refused) != 1 || !errors.Is(other.refused[0], watch.ErrTooMany) {
		t.Errorf("the other stream: %v", other.refused)
	}
	busy := errors.New("busy")
	_ = c.stream.Refuse(0, busy)
	s.change("a")
	if c.settle(); w.err != nil || len(w.got) != 1 || !errors.Is(c.refused[3], busy) {
		t.Errorf("%v, got %v, refused with %v", w.err, w.got, c.refused)
	}
}

func TestEveryEndHasAReason(t *testing.T) {
	s := newStore(watch.Limits{})
	c := newClient(t, s)
	one, two := c.watch(watch.Request{ID: 1}), c.watch(watch.Request{ID: 2})
	three, revoked := c.watch(watch.Request{ID: 3}), errors.New("revoked")
	_ = c.stream.Cancel(3, revoked)
	_ = c.stream.Cancel(1, watch.ErrCanceled)
	_ = c.stream.Cancel(1, watch.ErrCanceled)
	_ = c.stream.Cancel(7, watch.ErrCanceled)
	noLeader := errors.New("no leader")
	c.stream.CancelAll(noLeader)
	if c.settle(); !errors.Is(one.err, watch.ErrCanceled) || !errors.Is(two.err, noLeader) || !errors.Is(three.err, revoked) {
		t.Errorf("ended with %v, %v and %v", one.err, two.err, three.err)
	}
	s.change("a")
	broken := errors.New("broken")
	s.failure = broken
	w := c.watch(watch.Request{ID: 4, Revision: 2})
	if c.settle(); !errors.Is(w.err, broken) || !errors.Is(w.err, watch.ErrHistory) {
		t.Errorf("ended with %v", w.err)
	}
}

func TestClientThatReadsNoAnswersIsFoundOut(t *testing.T) {
	s := newStore(watch.Limits{StreamWatchers: 10})
	stream := s.hub.NewStream(watch.NativeFace, func() {})
	for n := 0; ; n++ {
		if errors.Is(errors.Join(stream.Watch(watch.Request{ID: 1}), stream.Cancel(1, watch.ErrCanceled)), watch.ErrUnread) {
			break
		}
		if n > 100 {
			t.Fatal("the answers are not bounded")
		}
	}
	stream.Close()
	if _, ok := stream.Next(1); ok || !errors.Is(stream.Watch(watch.Request{ID: 1}), watch.ErrClosed) || stream.Refuse(1, nil) != nil {
		t.Error("a closed stream does something")
	}
}

// Whoever begins to watch when nobody did any more gets nothing of before.
func TestNobodyWatchesInBetween(t *testing.T) {
	s := newStore(watch.Limits{PendingBytes: 400})
	c := newClient(t, s)
	for id := range int64(4) {
		c.watch(watch.Request{ID: id, Filter: watch.Filter{Prev: id == 1}})
		for range 3 * id {
			s.change("a") // up to more than may be pending
		}
		// The last watcher may go while what it was to get is matched, and another one come.
		s.before = func(uint64) {
			s.before = nil
			_ = c.stream.Cancel(id, watch.ErrCanceled)
			s.change("a")
			c.watch(watch.Request{ID: 10 + id})
		}
		if id == 1 {
			s.hub.Match()
		}
		s.before = nil
		_ = c.stream.Cancel(id, watch.ErrCanceled)
		s.change("a")
		s.change("a")
	}
	c.settle()
	w := c.watch(watch.Request{ID: 20})
	s.change("b")
	if c.settle(); len(w.got) != 1 {
		t.Errorf("got %v", w.got)
	}
}

// A watcher that gets no events is where the store is, also when its first event does not stay
// in the ring.
func TestQuietWatcherIsNotBehindWhenTheRingIsSmall(t *testing.T) {
	s := newStore(watch.Limits{RingBytes: 1})
	c := newClient(t, s)
	w := c.watch(watch.Request{ID: 1, Span: kv.Single("quiet")})
	for range 10 {
		s.change("a")
		c.drain()
	}
	s.compact(s.revision())
	s.change("quiet")
	if c.settle(); w.err != nil || len(w.got) != 1 {
		t.Errorf("%v, got %v", w.err, w.got)
	}
}

// Two watchers of one group that have met are told apart of how far they are, if one of them
// was told already.
func TestWatchersThatMeetAreMarkedTogether(t *testing.T) {
	s := newStore(watch.Limits{})
	s.change("a")
	c := newClient(t, s)
	now := c.watch(watch.Request{ID: 1, Span: kv.Single("quiet")})
	old := c.watch(watch.Request{ID: 2, Span: kv.Single("quiet"), Revision: 3})
	c.drain()
	c.stream.Mark()
	if c.settle(); len(old.marks) != 1 || len(now.marks) != 1 {
		t.Errorf("marks %v and %v", now.marks, old.marks)
	}
}

// A piece of the history has for a group what the first of its watchers needed, and others need
// more.
func TestEarlierWatcherOfAGroupGetsAllOfAPiece(t *testing.T) {
	s := newStore(watch.Limits{})
	for range 10 {
		s.change("a b")
	}
	c := newClient(t, s)
	c.watch(watch.Request{ID: 1, Revision: 2})
	c.drain()
	c.watch(watch.Request{ID: 2, Span: kv.Single("a"), Revision: 6})
	c.drain()
	c.watch(watch.Request{ID: 3, Span: kv.Single("a"), Revision: 3})
	c.settle()
}

// What a key held before an event is fixed, or the watcher is told that it is too late.
func TestPreviousValueIsNeverMissing(t *testing.T) {
	prev := watch.Filter{Prev: true}
	s := newStore(watch.Limits{})
	s.change("a")
	c := newClient(t, s)
	with, without := c.watch(watch.Request{ID: 1, Filter: prev}), c.watch(watch.Request{ID: 2})
	s.change("a")
	s.hub.Match()
	s.compact(3) // what the event needed is gone now
	if c.settle(); len(with.got) != 1 || with.got[0].events[0].Prev == nil || without.got[0].events[0].Prev != nil {
		t.Errorf("got %v and %v", with.got, without.got)
	}
	s.change("a")
	s.change("a")
	s.compact(5) // before the event was matched
	c.drain()
	if !errors.Is(with.err, kv.ErrCompacted) || without.err != nil || len(without.got) != 3 {
		t.Errorf("%v and %v, got %v", with.err, without.err, without.got)
	}
	// A watcher that comes while previous values are read gets them too.
	late := &watcher{}
	c.watch(watch.Request{ID: 3, Span: kv.Single("b"), Filter: prev})
	s.before = func(uint64) {
		s.before = nil
		late = c.watch(watch.Request{ID: 4, Span: kv.Prefix("a"), Filter: prev, Revision: s.revision()})
	}
	s.change("a b")
	if c.settle(); len(late.got) != 1 {
		t.Errorf("got %v", late.got)
	}
}

// Many who are behind at about the same place read the history once.
func TestReadersOfTheHistoryShare(t *testing.T) {
	s := newStore(watch.Limits{PieceBytes: 1000})
	for range 50 {
		s.change("a")
	}
	var clients []*client
	for i := range 100 {
		c := newClient(t, s)
		c.watch(watch.Request{ID: 1, Revision: 2 + uint64(i%3)})
		clients = append(clients, c)
	}
	for more := true; more; {
		more = false
		for _, c := range clients {
			more = c.take(300) || more
		}
	}
	for _, c := range clients {
		c.settle()
	}
	if s.scans > 10 {
		t.Errorf("%d reads of a history of about 8 pieces", s.scans)
	}
}

// Watchers of the same are made one batch, which is encoded once.
func TestBatchIsSharedByItsGroup(t *testing.T) {
	s := newStore(watch.Limits{})
	var streams []*watch.Stream
	for range 3 {
		stream := s.hub.NewStream(watch.NativeFace, func() {})
		for id := range int64(4) {
			_ = stream.Watch(watch.Request{ID: id, Span: kv.Prefix("a")})
		}
		for range 4 {
			stream.Next(1)
		}
		streams = append(streams, stream)
	}
	s.change("a")
	s.hub.Match()
	encoded := 0
	for _, stream := range streams {
		out, ok := stream.Next(1)
		if !ok || len(out.IDs) != 4 || len(out.Batches) != 1 {
			t.Fatalf("%+v", out)
		}
		out.Batches[0].Encoded(watch.NativeFace, func(*watch.Batch) [][]byte { encoded++; return nil })
	}
	if encoded != 1 {
		t.Errorf("encoded %d times", encoded)
	}
}

// A stream that is not read costs a cursor: what it misses is dropped, and found in the
// history.
func TestStoppedReaderKeepsNothing(t *testing.T) {
	s := newStore(watch.Limits{RingBytes: 2000})
	stopped, reading := newClient(t, s), newClient(t, s)
	w := stopped.watch(watch.Request{ID: 1})
	reading.watch(watch.Request{ID: 1})
	for range 200 {
		s.change("a")
		reading.settle()
	}
	if s.scans != 0 {
		t.Errorf("the reader that keeps up has read the history %d times", s.scans)
	}
	if stopped.settle(); len(w.got) != 200 || s.scans == 0 {
		t.Errorf("%d events in %d reads", len(w.got), s.scans)
	}
}

// A stream is woken once, however much there is.
func TestStreamIsWokenOnce(t *testing.T) {
	s := newStore(watch.Limits{})
	wakes := 0
	stream := s.hub.NewStream(watch.NativeFace, func() { wakes++ })
	for id := range int64(10) {
		_ = stream.Watch(watch.Request{ID: id, Span: kv.Prefix(fmt.Sprint(id % 3))})
	}
	for range 5 {
		s.change("1 2")
		s.hub.Match()
	}
	if wakes != 1 {
		t.Errorf("woken %d times", wakes)
	}
	for more := true; more; {
		_, more = stream.Next(1)
	}
	s.change("1")
	if s.hub.Match(); wakes != 2 {
		t.Errorf("woken %d times", wakes)
	}
}

// A piece of the history is shared by a watcher that needs more of it than is left.
func TestSharedPieceMayBeginBelowTheCompactedRevision(t *testing.T) {
	s := newStore(watch.Limits{})
	for range 3 {
		s.change("a")
	}
	c := newClient(t, s)
	c.watch(watch.Request{ID: 1, Revision: 2})
	late := c.watch(watch.Request{ID: 2, Revision: 3, Filter: watch.Filter{Prev: true}})
	for s.scans == 0 {
		c.take(1)
	}
	s.compact(3)
	if c.settle(); late.err != nil || len(late.got) != 2 {
		t.Errorf("%v, got %v", late.err, late.got)
	}
}

// A mark that a stream has asked for comes, though the last watcher goes before all is matched, or meanwhile.
func TestProgressComesWhenTheLastWatcherGoes(t *testing.T) {
	for _, meanwhile := range []bool{false, true} {
		s := newStore(watch.Limits{})
		c := newClient(t, s)
		c.watch(watch.Request{ID: 1, Filter: watch.Filter{Prev: true}})
		c.drain()
		s.change("a")
		s.change("a")
		leave := func(uint64) {
			s.before = nil
			if !meanwhile {
				c.stream.AskProgress()
			}
			_ = c.stream.Cancel(1, watch.ErrCanceled)
			s.change("a")
			if meanwhile {
				c.stream.AskProgress()
			}
		}
		if meanwhile {
			s.before = leave
		} else {
			leave(0)
		}
		if c.drain(); len(c.progress) != 1 || c.progress[0] < 3 {
			t.Errorf("progress %v, gone meanwhile: %t", c.progress, meanwhile)
		}
		w := c.watch(watch.Request{ID: 2, Revision: 2})
		if c.settle(); len(w.got) != 3 {
			t.Errorf("got %v", w.got)
		}
	}
}

// Marks are for all who are idle when they are asked for, though some of these get events meanwhile.
func TestMarksSkipNobody(t *testing.T) {
	s := newStore(watch.Limits{})
	c := newClient(t, s)
	for id, key := range []string{"a", "b", "c", "d", "e"} {
		c.watch(watch.Request{ID: int64(id), Span: kv.Single(key)})
	}
	s.change("x")
	c.drain()
	c.stream.Mark()
	for range 3 {
		c.take(1)
	}
	for _, w := range c.watchers {
		if len(w.marks) > 0 {
			s.change(w.request.Span.From)
		}
	}
	c.settle()
	for id, w := range c.watchers {
		if len(w.marks) == 0 {
			t.Errorf("watcher %d got no mark", id)
		}
	}
}

// Marks do not hold up events, however fast the store is.
func TestMarksLetEventsPass(t *testing.T) {
	s := newStore(watch.Limits{})
	c := newClient(t, s)
	quiet := c.watch(watch.Request{ID: 1, Span: kv.Single("quiet")})
	w := c.watch(watch.Request{ID: 2})
	s.change("a")
	c.drain()
	c.stream.Mark()
	for range 10 {
		s.change("a")
		s.hub.Match()
		c.take(1)
	}
	if len(quiet.marks) > 1 || len(w.got) < 8 {
		t.Errorf("%d marks, %d events", len(quiet.marks), len(w.got))
	}
	c.settle()
}
