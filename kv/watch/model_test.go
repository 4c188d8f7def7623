package watch_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"balsa.example/kv"
	"balsa.example/kv/watch"
	"pgregory.net/rapid"
)

// store is a naive store that keeps the whole history. The first revision with events is 2.
type store struct {
	hub *watch.Hub

	mu        sync.Mutex
	revisions [][]kv.Event // of revision 2, 3, and so on
	scans     int

	compacted uint64
	failure   error                 // of Scan
	during    func()                // called by the next Scan, before it reads
	after     func()                // and after
	before    func(revision uint64) // called by Previous
}

func newStore(limits watch.Limits) *store {
	s := &store{}
	s.hub = watch.New(s, 1, 0, limits, func() {})
	return s
}

func (s *store) revision() uint64 { return uint64(len(s.revisions)) + 1 }

// Scan implements watch.History.
func (s *store) Scan(from uint64, yield func(uint64, []kv.Event) bool) error {
	if during := s.during; during != nil {
		s.during = nil
		during()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scans++
	switch {
	case s.failure != nil:
		return s.failure
	case from < s.compacted:
		return kv.ErrCompacted
	}
	for r := max(from, 2); r <= s.revision() && yield(r, s.revisions[r-2]); r++ {
	}
	if after := s.after; after != nil {
		s.after = nil
		s.mu.Unlock()
		defer s.mu.Lock()
		after()
	}
	return nil
}

// Previous implements watch.History.
func (s *store) Previous(key string, revision uint64) (*kv.Entry, error) {
	if s.before != nil {
		s.before(revision)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision < s.compacted {
		return nil, kv.ErrCompacted
	}
	return s.previous(key, revision), nil
}

func (s *store) previous(key string, revision uint64) *kv.Entry {
	for r := revision - 1; r >= 2; r-- {
		for _, e := range s.revisions[r-2] {
			if e.Key == key {
				if e.Deleted {
					return nil
				}
				return &e.Entry
			}
		}
	}
	return nil
}

// change executes one revision. A word is a key to put; with a minus before it, to delete.
func (s *store) change(words string) uint64 {
	r, events := s.record(words)
	s.hub.Publish(r, events)
	return r
}

// record is change without Publish.
func (s *store) record(words string) (r uint64, events []kv.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = s.revision() + 1
	for _, key := range strings.Fields(words) {
		key, deleted := strings.CutPrefix(key, "-")
		e := kv.Event{Entry: kv.Entry{Key: key, ModRevision: r}, Deleted: deleted}
		if !deleted {
			e.Value = fmt.Appendf(nil, "%s at %d", key, r)
			e.Version, e.CreateRevision = 1, r
		}
		events = append(events, e)
	}
	s.revisions = append(s.revisions, events)
	return r, events
}

func (s *store) compact(revision uint64) {
	s.compacted = revision
	s.hub.Compacted(revision)
}

// want returns the batches that a watcher is due from one revision up to another.
func (s *store) want(span kv.Span, f watch.Filter, from, to uint64) (all []delivered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := max(from, 2); r <= to; r++ {
		var events []kv.Event
		for _, e := range s.revisions[r-2] {
			if !span.Contains(e.Key) || e.Deleted && f.NoDelete || !e.Deleted && f.NoPut {
				continue
			}
			if f.Prev {
				e.Prev = s.previous(e.Key, r)
			}
			events = append(events, e)
		}
		if events != nil {
			all = append(all, delivered{r, events})
		}
	}
	return all
}

// delivered is a batch as a client sees it.
type delivered struct {
	revision uint64
	events   []kv.Event
}

// client is the other end of a stream. It demands of what it gets what holds at all times.
type client struct {
	t        rapid.TB
	store    *store
	stream   *watch.Stream
	woken    bool
	watchers map[int64]*watcher
	progress []uint64 // marks of the whole stream
	asked    uint64   // the revision at which one was asked for
	refused  []error
}

// watcher is one of a client.
type watcher struct {
	request watch.Request
	created uint64 // the revision of Created; 0: it has not come
	next    uint64 // the lowest revision of which it may get events
	got     []delivered
	marks   []uint64
	err     error // why it has ended
	lowest  uint64
}

func newClient(t rapid.TB, s *store) *client {
	c := &client{t: t, store: s, watchers: map[int64]*watcher{}}
	c.stream = s.hub.NewStream(watch.NativeFace, func() { c.woken = true })
	return c
}

func (c *client) watch(r watch.Request) *watcher {
	c.t.Helper()
	w := &watcher{request: r}
	if c.watchers[r.ID] == nil {
		c.watchers[r.ID] = w
	}
	if err := c.stream.Watch(r); err != nil {
		if err := c.stream.Refuse(r.ID, err); err != nil {
			c.t.Fatal(err)
		}
	}
	return w
}

// askProgress asks for a mark of the whole stream.
func (c *client) askProgress() {
	c.asked = c.store.hub.Revision()
	c.stream.AskProgress()
}

// take takes one output. It returns false if there is none.
func (c *client) take(maxBytes int) bool {
	c.t.Helper()
	out, ok := c.stream.Next(maxBytes)
	if !ok {
		return false
	}
	for _, id := range out.IDs {
		if w := c.watchers[id]; w == nil {
			c.t.Fatalf("%+v for a watcher that does not exist", out)
		} else if out.Kind != watch.Refused {
			c.tell(w, out)
		} else if w.created == 0 {
			w.err = out.Err
		}
	}
	switch {
	case out.Kind == watch.Refused:
		c.refused = append(c.refused, out.Err)
	case out.Kind == watch.Progress && len(out.IDs) == 0:
		c.progress = append(c.progress, out.Revision)
		for _, w := range c.watchers {
			if w.err == nil {
				c.tell(w, out)
			}
		}
	}
	return true
}

func (c *client) tell(w *watcher, out *watch.Output) {
	c.t.Helper()
	if w.err != nil || (w.created == 0) != (out.Kind == watch.Created) {
		c.t.Fatalf("%+v for the watcher %+v", out, w)
	}
	switch out.Kind {
	case watch.Created:
		w.created = out.Revision
		if w.next = w.request.Revision; w.next == 0 {
			w.next = out.Revision + 1
		}
	case watch.Events:
		if len(out.Batches) == 0 {
			c.t.Fatal("no events")
		}
		for _, b := range out.Batches {
			if b.Revision < w.next {
				c.t.Fatalf("revision %d is below %d: %+v", b.Revision, w.next, w)
			}
			w.got = append(w.got, delivered{b.Revision, b.Events})
			w.next = b.Revision + 1
		}
		if out.Revision != w.next-1 {
			c.t.Fatalf("revision %d at the end of %d", out.Revision, w.next-1)
		}
	case watch.Progress:
		if out.Revision+1 < w.next {
			c.t.Fatalf("progress %d is below %d: %+v", out.Revision, w.next, w)
		}
		w.marks = append(w.marks, out.Revision)
		w.next = out.Revision + 1
		c.complete(w, out.Revision)
	case watch.Canceled:
		w.err, w.lowest = out.Err, out.Compacted
	}
}

// complete demands that a watcher has got everything up to a revision, and nothing else.
func (c *client) complete(w *watcher, to uint64) {
	c.t.Helper()
	from := w.request.Revision
	if from == 0 {
		from = w.created + 1
	}
	want := c.store.want(w.request.Span, w.request.Filter, from, to)
	if !slices.EqualFunc(w.got, want, func(a, b delivered) bool { return reflect.DeepEqual(a, b) }) {
		c.t.Fatalf("up to %d the watcher %+v\ngot  %+v\nwant %+v", to, w.request, w.got, want)
	}
}

// drain takes all there is.
func (c *client) drain() {
	c.t.Helper()
	c.store.hub.Match()
	for c.take(1 << 20) {
	}
}

// settle takes all there is, and demands that it is complete.
func (c *client) settle() {
	c.t.Helper()
	c.drain()
	for _, w := range c.watchers {
		if w.err == nil {
			c.complete(w, c.store.revision())
		}
	}
}

// TestStreamsEqualTheHistory does whatever a store and its clients can do, in any order. What
// each watcher gets is compared with the history by a loop over all events.
func TestStreamsEqualTheHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := watch.Limits{
			PendingBytes: rapid.SampledFrom([]int{500, 5000, 1 << 20}).Draw(t, "pending"),
			RingBytes:    rapid.SampledFrom([]int{0, 700, 5000, 1 << 20}).Draw(t, "ring") + 1,
			PieceBytes:   rapid.SampledFrom([]int{1, 500, 1 << 20}).Draw(t, "piece"),
		}
		s := newStore(limits)
		clients := []*client{newClient(t, s), newClient(t, s), newClient(t, s)}
		anyone := func() *client { return clients[rapid.IntRange(0, len(clients)-1).Draw(t, "client")] }
		id := int64(0)
		actions := map[string]func(*rapid.T){
			"change": func(t *rapid.T) { s.change(words(t)) },
			"match":  func(*rapid.T) { s.hub.Match() },
			"watch": func(t *rapid.T) {
				id++
				anyone().watch(request(t, id, s.revision()))
			},
			"cancel": func(t *rapid.T) {
				if id > 0 {
					_ = anyone().stream.Cancel(rapid.Int64Range(1, id).Draw(t, "id"), watch.ErrCanceled)
				}
			},
			"next": func(t *rapid.T) {
				c := anyone()
				for range rapid.IntRange(1, 5).Draw(t, "times") {
					c.take(rapid.SampledFrom([]int{1, 400, 1 << 20}).Draw(t, "bytes"))
				}
			},
			"progress": func(*rapid.T) { anyone().askProgress() },
			"mark":     func(*rapid.T) { anyone().stream.Mark() },
			"mark each": func(t *rapid.T) {
				anyone().stream.MarkEach(rapid.SliceOfN(rapid.Int64Range(0, id+1), 0, 3).Draw(t, "ids"))
			},
			"compact": func(t *rapid.T) {
				s.compact(rapid.Uint64Range(s.compacted, s.revision()).Draw(t, "compact"))
			},
			"replace the state": func(t *rapid.T) {
				for range rapid.IntRange(0, 3).Draw(t, "revisions") {
					s.record(words(t))
				}
				s.hub.Reset(s.revision(), s.compacted)
			},
			"": func(*rapid.T) {},
		}
		// What somebody else does while the history is read.
		others := []func(*rapid.T){actions["change"], actions["watch"], actions["cancel"], actions["progress"], actions["compact"], actions["replace the state"]}
		actions["meanwhile"] = func(t *rapid.T) {
			other := rapid.SampledFrom(others).Draw(t, "what")
			switch rapid.IntRange(0, 2).Draw(t, "when") {
			case 0:
				s.during = func() { other(t) }
			case 1:
				s.after = func() { other(t) }
			case 2:
				s.before = func(uint64) {
					s.before = nil
					other(t)
				}
			}
		}
		t.Repeat(actions)
		s.during, s.after, s.before = nil, nil, nil
		for range 5 { // nobody waits for a revision to come any more
			s.change("a")
		}
		for _, c := range clients {
			c.settle()
			if n := len(c.progress); c.asked > 0 && (n == 0 || c.progress[n-1] < c.asked) {
				t.Fatalf("progress %v, and it was asked for at revision %d", c.progress, c.asked)
			}
			for _, w := range c.watchers {
				if w.err != nil && !errors.Is(w.err, kv.ErrCompacted) && !errors.Is(w.err, watch.ErrCanceled) {
					t.Fatal(w.err)
				}
				if errors.Is(w.err, kv.ErrCompacted) && (w.next >= w.lowest || w.lowest > s.compacted) {
					t.Fatalf("compacted at %d although at %d", w.lowest, w.next)
				}
			}
		}
	})
}

// words draws the keys of one revision.
func words(t *rapid.T) string {
	keys := rapid.SliceOfNDistinct(rapid.StringMatching("-?[ab]{1,3}"), 1, 4,
		func(word string) string { return strings.TrimPrefix(word, "-") }).Draw(t, "words")
	return strings.Join(keys, " ")
}

// request draws a watcher.
func request(t *rapid.T, id int64, revision uint64) watch.Request {
	key := rapid.StringMatching("[ab]{0,2}").Draw(t, "key")
	span := rapid.SampledFrom([]kv.Span{
		{}, kv.Single(key), kv.Prefix(key), kv.FromKey(key), {From: key, To: key + "ab"},
	}).Draw(t, "span")
	return watch.Request{
		ID: id, Span: span,
		Revision: rapid.SampledFrom([]uint64{0, 1, revision / 2, revision, revision + 1, revision + 3}).Draw(t, "from"),
		Filter: watch.Filter{
			NoPut: rapid.IntRange(0, 4).Draw(t, "no put") == 0, NoDelete: rapid.IntRange(0, 4).Draw(t, "no delete") == 0,
			Prev: rapid.Bool().Draw(t, "prev"),
		},
	}
}
