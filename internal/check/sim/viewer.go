package sim

import (
	"errors"
	"slices"
	"time"

	"balsa.example/internal/check/history"
	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/state"
)

// viewer is a client that watches keys. It resumes at another node when its connection breaks, and
// often without a reason. What it was told all its life is one history.Stream, until a compaction
// ends it. Some watch by the API of etcd: see etcdViewing.
type viewer struct {
	w       *world
	asks    history.Stream
	etcd    bool
	next    uint64 // the first revision of which it has not been told; 0: the next one there is
	streams []*history.Stream
	conn    *viewing
}

// viewing is a connection of a viewer to a node.
type viewing struct {
	v       *viewer
	n       *node
	life    int
	stream  *watch.Stream
	etcd    *etcdViewing // nil: by the native API
	pumping bool
	last    Instant // when the latest message arrives
	lost    bool    // something was sent that does not arrive: the connection breaks
	over    bool
}

// watching is the shell of a node's watch.Hub. The hub is there from the opening of the state on.
type watching struct {
	hub      *watch.Hub
	matching bool
}

// publisher hands what the machine publishes to the hub.
type publisher struct{ n *node }

func (p publisher) Active() bool { return p.n.watch.hub.Active() }
func (p publisher) Publish(revision uint64, events []kv.Event) {
	p.n.watch.hub.Publish(revision, events)
}
func (p publisher) Compacted(revision uint64) { p.n.watch.hub.Compacted(revision) }
func (p publisher) Reset(revision, compacted uint64) {
	if p.n.watch.hub != nil && p.n.up() { // it is made after the state was opened
		p.n.watch.hub.Reset(revision, compacted)
	}
}

// watchLimits are so low that watchers fall behind.
var watchLimits = watch.Limits{PendingBytes: 3000, RingBytes: 6000, PieceBytes: 1000}

func (n *node) startWatching() {
	m, ok := n.machine.(*state.Machine)
	if !ok {
		return
	}
	n.watch = watching{}
	n.watch.hub = watch.New(m, m.Revision(), m.Compacted(), watchLimits, func() {
		if !n.watch.matching {
			n.watch.matching = true
			n.after(1+n.w.upTo(n.w.mix.Loop), func() {
				n.watch.matching = false
				n.watch.hub.Match()
			})
		}
	})
}

func newViewer(w *world) *viewer {
	v := &viewer{w: w, asks: history.Stream{Span: kv.Span{}, Prev: w.chance(0.5)}}
	switch w.rand.IntN(4) {
	case 0:
		v.asks.Span = kv.Prefix(callerKeys)
	case 1:
		v.asks.Span = kv.Single(callerKeys + "1")
	}
	switch w.rand.IntN(6) {
	case 0:
		v.asks.NoPuts = true
	case 1:
		v.asks.NoDeletes = true
	}
	v.next = pick(w.rand, uint64(0), 1)
	v.etcd = w.chance(0.5)
	return v
}

// begin begins a stream, from the revision next on.
func (v *viewer) begin(from uint64) {
	s := v.asks
	s.From = from
	v.streams = append(v.streams, &s)
}

func (v *viewer) stream() *history.Stream { return v.streams[len(v.streams)-1] }

// connect connects to some node. In the end it has little time, and most nodes may be down for good.
func (v *viewer) connect() {
	w := v.w
	nodes := w.nodes
	serves := func(n *node) bool { return n.up() && w.conf().Contains(n.id) } // one that joins later serves no clients yet
	if up := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return !serves(n) }); w.closing && len(up) > 0 {
		nodes = up
	}
	n := nodes[w.rand.IntN(len(nodes))]
	if !serves(n) || w.net.clientCut[n.id] > 0 || n.watch.hub == nil {
		w.after(milliseconds(20)+w.upTo(milliseconds(200)), v.connect)
		return
	}
	c := &viewing{v: v, n: n, life: n.lives}
	v.conn = c
	w.after(w.net.latency(), func() {
		n.awake(func() {
			if n.lives != c.life {
				return
			}
			if v.etcd {
				c.stream = n.watch.hub.NewStream(watch.EtcdFace, c.wake)
				c.etcd = newEtcdViewing(c)
				return
			}
			c.stream = n.watch.hub.NewStream(watch.NativeFace, c.wake)
			c.stream.Watch(watch.Request{ID: 7, Span: v.asks.Span, Revision: v.next, Filter: watch.Filter{
				NoPut: v.asks.NoPuts, NoDelete: v.asks.NoDeletes, Prev: v.asks.Prev,
			}})
		})
	})
	c.watchOver()
	w.after(w.upTo(4*time.Second), func() {
		if !c.over && !w.closing {
			c.end()
		}
	})
}

// watchOver notices that the connection is broken, and asks for progress at times.
func (c *viewing) watchOver() {
	w := c.v.w
	w.after(milliseconds(100)+w.upTo(milliseconds(400)), func() {
		switch {
		case c.over:
			return
		case c.n.lives != c.life || c.lost || w.net.clientCut[c.n.id] > 0 && w.chance(0.5):
			c.end()
			return
		case c.stream != nil && (w.chance(0.2) || w.closing):
			w.after(w.net.latency(), func() {
				c.n.awake(func() {
					if c.n.lives == c.life && !c.over {
						switch {
						case !w.chance(0.5):
						case c.etcd != nil:
							c.stream.MarkEach(c.etcd.session.Tick())
						default:
							c.stream.Mark()
						}
						c.stream.AskProgress()
					}
				})
			})
		}
		c.watchOver()
	})
}

// end ends the connection. What is on its way is lost.
func (c *viewing) end() {
	c.over = true
	if c.stream != nil && c.n.lives == c.life {
		c.stream.Close()
	}
	c.v.w.after(c.v.w.upTo(milliseconds(100)), c.v.connect)
}

// wake schedules the goroutine that sends what the stream has. It may be slow.
func (c *viewing) wake() {
	if c.pumping {
		return
	}
	c.pumping = true
	w := c.v.w
	delay := 1 + w.upTo(w.mix.Loop)
	if !w.healed && w.chance(0.1) {
		delay += w.upTo(2 * time.Second)
	}
	c.n.after(delay, c.pump)
}

func (c *viewing) pump() {
	c.pumping = false
	if c.over {
		return
	}
	w := c.v.w
	for range 3 {
		out, ok := c.stream.Next(w.rand.IntN(3000))
		if !ok {
			return
		}
		if out.Kind == watch.Canceled && c.n.disk.excuses(out.Err) {
			c.end() // and another node is asked
			return
		}
		if out.Kind == watch.Refused || out.Kind == watch.Canceled && !errors.Is(out.Err, kv.ErrCompacted) {
			w.failf("watch", "%s refuses or ends a watcher: %v", c.n.id, out.Err)
		}
		if w.net.clientCut[c.n.id] > 0 {
			c.lost = true
			return
		}
		if c.etcd != nil {
			c.etcd.tell(out)
			continue
		}
		b := history.Batch{}
		switch out.Kind {
		case watch.Events:
			for _, batch := range out.Batches {
				b.Events = append(b.Events, batch.Events...)
			}
		case watch.Progress:
			b.Progress = out.Revision
		case watch.Canceled:
			b.Compacted = out.Compacted
		}
		kind, revision := out.Kind, out.Revision
		c.send(func() { c.v.hear(kind, revision, b) })
	}
	c.wake()
}

// send lets a message arrive behind those before it.
func (c *viewing) send(hear func()) {
	w := c.v.w
	c.last = max(c.last, w.now+w.net.latency())
	w.queue.add(c.last, event{do: func() {
		if !c.over {
			hear()
		}
	}})
}

// hear takes a message.
func (v *viewer) hear(kind watch.Kind, revision uint64, b history.Batch) {
	v.w.check.counts.Watched++
	switch kind {
	case watch.Created:
		if v.next == 0 {
			v.next = revision + 1
		}
		if len(v.streams) == 0 {
			v.begin(v.next)
		}
		return
	case watch.Events:
		v.next = b.Events[len(b.Events)-1].ModRevision + 1
	case watch.Progress:
		v.next = max(v.next, b.Progress+1)
	case watch.Canceled:
		v.w.check.counts.WatchesCompacted++
		v.next = b.Compacted
	}
	s := v.stream()
	s.Batches = append(s.Batches, b)
	if kind == watch.Canceled {
		v.begin(v.next)
		if !v.conn.over {
			v.conn.end()
		}
	}
}

// seenAll tells whether all viewers know everything.
func (w *world) seenAll() bool {
	for _, v := range w.viewers {
		if v.next <= w.check.truth.Revision() {
			return false
		}
	}
	return true
}

// viewersSeeAll demands that all viewers are told of everything, and that each was told the truth.
func (w *world) viewersSeeAll() {
	someNode := func() bool {
		for _, n := range w.nodes {
			if n.up() && n.watch.hub != nil {
				return true
			}
		}
		return false
	}
	if len(w.viewers) == 0 || !someNode() {
		return
	}
	start := w.now
	if !w.runUntil(start+5*time.Second+w.elections(1), w.seenAll) {
		w.failf("watch", "a watcher has not got everything after %v: %s", w.now-start, w.describe())
	}
	committed := w.check.history()
	for _, v := range w.viewers {
		for i, s := range v.streams {
			if i == len(v.streams)-1 {
				s.Until = w.check.truth.Revision()
			}
			if err := history.CheckStream(s, committed, w.check.truth.Compacted()); err != nil {
				w.failf("watch", "%v", err)
			}
		}
	}
}
