package etcd_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/internal/check/history"
	"balsa.example/internal/check/naive"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/state"
)

// TestWatchersSeeTheHistory lets many watchers watch two members, of which one is behind, while keys
// are put, deleted and compacted, states are replaced, and clients come, go, ask, read slowly and
// move. What each watcher was told all its life is compared with the naive machine.
func TestWatchersSeeTheHistory(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newWatchModel(t, seed).run() })
		})
	}
}

// watchModel is one run.
type watchModel struct {
	testing.TB
	*rand.Rand
	naive    *naive.Machine
	commands []state.Command // all that were executed
	members  []*modelMember
	clients  []*modelClient
	asked    uint64 // the highest compaction
}

// modelMember is a member that has executed some of the commands.
type modelMember struct {
	*watched
	executed int
}

// modelClient has watchers on one stream.
type modelClient struct {
	m        *watchModel
	on       *watchClient // nil: it is not connected
	watchers []*modelWatcher
	creating []*modelWatcher // that were asked for, in order
	live     map[int64]*modelWatcher
	partial  *pb.WatchResponse // fragments that have come
}

// modelWatcher watches all its life, on one stream after the other.
type modelWatcher struct {
	request pb.WatchCreateRequest
	next    uint64 // the first revision that it was not told of; 0: it begins with the next one
	streams []*history.Stream
	asks    history.Stream
}

func newWatchModel(t *testing.T, seed uint64) *watchModel {
	m := &watchModel{TB: t, Rand: rand.New(rand.NewPCG(seed, 1)), naive: naive.New(naive.Limits{})}
	limits := watch.Limits{PendingBytes: 3000, RingBytes: 1 + m.IntN(6000), PieceBytes: 1 + m.IntN(2000)}
	for range 2 {
		m.members = append(m.members, &modelMember{watched: newWatched(t, limits)})
	}
	for range 4 {
		c := &modelClient{m: m, live: map[int64]*modelWatcher{}}
		for range 1 + m.IntN(6) {
			c.watchers = append(c.watchers, m.watcher())
		}
		m.clients = append(m.clients, c)
	}
	return m
}

func (m *watchModel) watcher() *modelWatcher {
	w := &modelWatcher{}
	from := fmt.Sprint("k", m.IntN(6))
	switch m.IntN(4) {
	case 0:
		w.asks.Span, w.request.Key, w.request.RangeEnd = kv.FromKey("\x00"), []byte{0}, []byte{0}
	case 1:
		w.asks.Span, w.request.Key, w.request.RangeEnd = kv.Span{From: from, To: "k4x"}, []byte(from), []byte("k4x")
		if w.asks.Empty() {
			return m.watcher()
		}
	default:
		w.asks.Span, w.request.Key = kv.Single(from), []byte(from)
	}
	w.asks.Prev = m.IntN(2) == 0
	w.request.PrevKv, w.request.Fragment, w.request.ProgressNotify = w.asks.Prev, m.IntN(3) == 0, m.IntN(3) == 0
	if w.asks.NoPuts = m.IntN(6) == 0; w.asks.NoPuts {
		w.request.Filters = append(w.request.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if w.asks.NoDeletes = m.IntN(6) == 0; w.asks.NoDeletes {
		w.request.Filters = append(w.request.Filters, pb.WatchCreateRequest_NODELETE)
	}
	w.next = uint64(m.IntN(3)) // from now on, from the beginning, from 2 on
	return w
}

func (m *watchModel) run() {
	for range 300 {
		switch n := m.IntN(100); {
		case n < 35:
			m.execute(m.change())
		case n < 38:
			m.asked = max(m.asked, m.naive.Revision()-uint64(m.IntN(20))%m.naive.Revision())
			m.execute(state.Command{More: &state.More{Kind: state.KindCompact, Revision: m.asked}})
		case n < 55:
			m.follow(m.members[m.IntN(2)], 1+m.IntN(8), m.IntN(12) == 0)
		case n < 57:
			time.Sleep(watchInterval)
		default:
			m.clients[m.IntN(len(m.clients))].step()
		}
	}
	for _, b := range m.members {
		m.follow(b, len(m.commands), false)
	}
	for _, c := range m.clients {
		if c.on == nil {
			c.connect()
		}
	}
	for range 3 { // a watcher that ends as compacted begins once more
		for _, c := range m.clients {
			for c.read() {
			}
			c.refill()
		}
	}
	m.judge()
}

// change draws a transaction or an operation.
func (m *watchModel) change() state.Command {
	key := func() string { return fmt.Sprint("k", m.IntN(6)) }
	value := []byte(fmt.Sprint(len(m.commands)))
	if m.IntN(2) == 0 {
		return state.Command{Op: kv.Op{Kind: kv.Put, Key: key(), Value: value, Version: 0}}
	}
	txn := &kv.Txn{}
	used := map[string]bool{}
	for range 1 + m.IntN(4) {
		k := key()
		if used[k] {
			continue
		}
		used[k] = true
		if m.IntN(3) == 0 {
			txn.Then = append(txn.Then, kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Single(k)}})
		} else {
			txn.Then = append(txn.Then, kv.TxnOp{Put: &kv.PutOp{Key: k, Value: value}})
		}
	}
	return state.Command{More: &state.More{Kind: state.KindTxn, Txn: txn}}
}

func (m *watchModel) execute(c state.Command) {
	m.commands = append(m.commands, c)
	m.naive.DoOp(c)
}

// follow lets a member execute some commands. If replaced, they come as a state.
func (m *watchModel) follow(b *modelMember, n int, replaced bool) {
	if replaced {
		b.deaf = true
	}
	for range min(n, len(m.commands)-b.executed) {
		b.machine.DoOp(m.commands[b.executed])
		b.executed++
	}
	if replaced {
		b.replaced()
	}
	if m.IntN(2) == 0 {
		synctest.Wait()
	}
}

// step does something that a client does.
func (c *modelClient) step() {
	switch n := c.m.IntN(20); {
	case c.on == nil:
		c.connect()
	case n == 0:
		c.on.cancel()
		c.on = nil
	case n == 1:
		c.on.progress()
	case n == 2: // it cancels one, and goes on with another id
		if ids := slices.Sorted(mapKeys(c.live)); len(ids) > 0 {
			c.on.cancelWatcher(ids[0])
			for c.live[ids[0]] != nil && c.read() {
			}
		}
		c.refill()
	default:
		for range c.m.IntN(6) {
			c.read()
		}
		c.refill()
	}
}

func mapKeys(live map[int64]*modelWatcher) func(func(int64) bool) {
	return func(yield func(int64) bool) {
		for id := range live {
			if !yield(id) {
				return
			}
		}
	}
}

// connect connects to some member.
func (c *modelClient) connect() {
	c.on = c.m.members[c.m.IntN(2)].open(etcd.Caller{})
	c.creating, c.live, c.partial = nil, map[int64]*modelWatcher{}, nil
	c.refill()
}

// refill asks for the watchers that there are not.
func (c *modelClient) refill() {
	have := slices.Clone(c.creating)
	for _, w := range c.live {
		have = append(have, w)
	}
	for _, w := range c.watchers {
		if slices.Contains(have, w) {
			continue
		}
		r := &pb.WatchCreateRequest{
			Key: w.request.Key, RangeEnd: w.request.RangeEnd, Filters: w.request.Filters, PrevKv: w.request.PrevKv,
			Fragment: w.request.Fragment, ProgressNotify: w.request.ProgressNotify, StartRevision: int64(w.next),
		}
		c.creating = append(c.creating, w)
		c.on.create(r)
	}
}

// read takes a response, if there is one.
func (c *modelClient) read() bool {
	synctest.Wait()
	select {
	case r := <-c.on.responses:
		c.hear(r)
		return true
	default:
		return false
	}
}

func (c *modelClient) hear(r *pb.WatchResponse) {
	revision := uint64(r.Header.Revision)
	switch {
	case r.Created && r.Canceled:
		c.m.Fatalf("refused: %s", r.CancelReason)
	case r.Created:
		w := c.creating[0]
		c.creating = c.creating[1:]
		if c.live[r.WatchId] != nil {
			c.m.Fatalf("two watchers have the id %d", r.WatchId)
		}
		c.live[r.WatchId] = w
		if w.next == 0 {
			w.next = revision + 1
		}
		if len(w.streams) == 0 {
			w.begin()
		}
	case r.Canceled:
		w := c.live[r.WatchId]
		delete(c.live, r.WatchId)
		if r.CompactRevision > 0 {
			w.hear(history.Batch{Compacted: uint64(r.CompactRevision)})
			w.next = uint64(r.CompactRevision)
			w.begin()
		} else if r.CancelReason != "" {
			c.m.Fatalf("canceled: %s", r.CancelReason)
		}
	case len(r.Events) == 0:
		for id, w := range c.live {
			if r.WatchId == id || r.WatchId == -1 {
				w.hear(history.Batch{Progress: revision})
				w.next = max(w.next, revision+1)
			}
		}
	default:
		c.events(r)
	}
}

// events takes events, or a fragment of them.
func (c *modelClient) events(r *pb.WatchResponse) {
	w := c.live[r.WatchId]
	if p := c.partial; p != nil {
		if p.WatchId != r.WatchId {
			c.m.Fatalf("a response for %d between fragments for %d", r.WatchId, p.WatchId)
		}
		r.Events = append(p.Events, r.Events...)
	}
	if c.partial = nil; r.Fragment {
		c.partial = r
		return
	}
	var b history.Batch
	for _, e := range r.Events {
		event := kv.Event{Entry: entryOf(e.Kv), Deleted: e.Type == mvccpb.Event_DELETE}
		if e.PrevKv != nil {
			prev := entryOf(e.PrevKv)
			event.Prev = &prev
		}
		b.Events = append(b.Events, event)
	}
	if last := b.Events[len(b.Events)-1].ModRevision; uint64(r.Header.Revision) != last {
		c.m.Fatalf("the header has revision %d, the last event %d", r.Header.Revision, last)
	}
	w.hear(b)
	w.next = uint64(r.Header.Revision) + 1
}

func entryOf(e *mvccpb.KeyValue) kv.Entry {
	return kv.Entry{
		Key: string(e.Key), Value: e.Value, Version: uint64(e.Version), CreateRevision: uint64(e.CreateRevision),
		ModRevision: uint64(e.ModRevision), Lease: e.Lease,
	}
}

func (w *modelWatcher) begin() {
	s := w.asks
	s.From = w.next
	w.streams = append(w.streams, &s)
}

func (w *modelWatcher) hear(b history.Batch) {
	s := w.streams[len(w.streams)-1]
	s.Batches = append(s.Batches, b)
}

// judge compares what each watcher was told with what was executed.
func (m *watchModel) judge() {
	var committed [][]kv.Event
	for r := uint64(2); r <= m.naive.Revision(); r++ {
		committed = append(committed, m.naive.Events(r))
	}
	told := 0
	for _, c := range m.clients {
		for _, w := range c.watchers {
			for i, s := range w.streams {
				if i == len(w.streams)-1 {
					s.Until = m.naive.Revision()
				}
				told += len(s.Batches)
				if err := history.CheckStream(s, committed, m.asked); err != nil {
					m.Error(err)
				}
			}
		}
		c.on.cancel()
	}
	if told < 20 {
		m.Errorf("only %d responses", told)
	}
	for _, b := range m.members {
		b.Wait()
	}
}
