package etcd_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/metrics"
	"balsa.example/internal/wake"
	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// watched is a member whose keys are watched: the real machine with the real hub, without Raft.
type watched struct {
	testing.TB
	*etcd.Face
	machine    *state.Machine
	hub        *watch.Hub
	leaderless chan struct{}
	stopping   chan struct{}
	rights     *rights
	asked      *metrics.EtcdRequests
	deaf       bool // the hub is not told of what is executed
}

// publisher tells the hub of what the machine executes.
type publisher struct{ *watched }

func (p publisher) Active() bool { return !p.deaf && p.hub.Active() }

func (p publisher) Publish(revision uint64, events []kv.Event) {
	if !p.deaf {
		p.hub.Publish(revision, events)
	}
}

func (p publisher) Compacted(revision uint64) {
	if !p.deaf {
		p.hub.Compacted(revision)
	}
}

func (p publisher) Reset(revision, compacted uint64) { p.hub.Reset(revision, compacted) }

// replaced tells the hub that what it has not been told of came as a state.
func (w *watched) replaced() {
	w.deaf = false
	w.hub.Reset(w.machine.Revision(), w.machine.Compacted())
}

// watchedMember is the etcd.Node of a watched.
type watchedMember struct {
	etcd.Node
	machine *state.Machine
}

func (watchedMember) Term() raft.Term     { return 9 }
func (watchedMember) Leader() raft.NodeID { return 1 }
func (m watchedMember) Store() etcd.Store { return m.machine }

// watchedHistory reads the machine, which is there later than the hub.
type watchedHistory struct{ *watched }

func (h watchedHistory) Scan(from uint64, yield func(uint64, []kv.Event) bool) error {
	return h.machine.Scan(from, yield)
}

func (h watchedHistory) Previous(key string, revision uint64) (*kv.Entry, error) {
	return h.machine.Previous(key, revision)
}

const watchInterval = time.Minute

func newWatched(t testing.TB, limits watch.Limits) *watched {
	w := &watched{TB: t, leaderless: make(chan struct{}), stopping: make(chan struct{}), rights: newRights(), asked: metrics.NewEtcdRequests(nil)}
	published := wake.New()
	w.hub = watch.New(watchedHistory{w}, 1, 0, limits, published.Set)
	w.machine = state.New(state.Config{FS: crashfs.NewMem(), Dir: "state", Cluster: 7, ID: 1, Publisher: publisher{w}})
	if _, _, err := w.machine.Open(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer w.machine.Close()
		for {
			select {
			case <-published.C():
				w.hub.Match()
			case <-t.Context().Done():
				return
			}
		}
	}()
	w.Face = etcd.New(etcd.Config{
		Node: watchedMember{machine: w.machine}, ClusterID: 7, MemberID: 8, Requests: w.asked,
		Watches: etcd.Watches{
			Hub: w.hub, Leaderless: func() <-chan struct{} { return w.leaderless }, Stopping: w.stopping,
			ProgressInterval: watchInterval, Rights: w.rights,
		},
	})
	return w
}

// put executes one transaction of puts, and of deletes where a key has a minus before it.
func (w *watched) put(value string, keys ...string) uint64 {
	w.Helper()
	txn := &kv.Txn{}
	for _, key := range keys {
		if key, deleted := strings.CutPrefix(key, "-"); deleted {
			txn.Then = append(txn.Then, kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Single(key)}})
		} else {
			txn.Then = append(txn.Then, kv.TxnOp{Put: &kv.PutOp{Key: key, Value: []byte(value)}})
		}
	}
	r := w.machine.DoOp(state.Command{More: &state.More{Kind: state.KindTxn, Txn: txn, User: "root", UserStamp: auth.ByCertificate}})
	if r.Code != kv.CodeOK {
		w.Fatal(r.Code)
	}
	return r.Revision
}

func (w *watched) compact(revision uint64) {
	w.Helper()
	if r := w.machine.DoOp(state.Command{More: &state.More{Kind: state.KindCompact, Revision: revision}}); r.Code != kv.CodeOK {
		w.Fatal(r.Code)
	}
}

// rights allows what was not taken away.
type rights struct {
	after   func() // called by Permitted when it knows
	mu      sync.Mutex
	changed chan struct{}
	denied  map[kv.Span]error
}

func newRights() *rights { return &rights{changed: make(chan struct{}), denied: map[kv.Span]error{}} }

func (r *rights) Permitted(_ context.Context, c *etcd.Caller, span kv.Span) error {
	err := r.Lost(c, span)
	if r.after != nil {
		r.after()
	}
	return err
}

func (r *rights) Lost(_ *etcd.Caller, span kv.Span) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.denied[span]
}

func (r *rights) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *rights) deny(span kv.Span, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.denied[span] = err
	close(r.changed)
	r.changed = make(chan struct{})
}

// watchClient is the client of one stream.
type watchClient struct {
	w         *watched
	ctx       context.Context
	cancel    context.CancelFunc
	requests  chan *pb.WatchRequest
	responses chan *pb.WatchResponse // unbuffered: a client that does not read blocks the sender
	ended     chan error
	receiving atomic.Bool // the stream waits for a request
}

// Context implements etcd.Stream.
func (c *watchClient) Context() context.Context  { return c.ctx }
func (c *watchClient) Stopping() <-chan struct{} { return c.ctx.Done() }

// Receive implements etcd.Stream.
func (c *watchClient) Receive(m proto.Message) error {
	c.receiving.Store(true)
	defer c.receiving.Store(false)
	select {
	case r, ok := <-c.requests:
		if !ok {
			return io.EOF
		}
		proto.Merge(m, r)
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// Send implements etcd.Stream.
func (c *watchClient) Send(m proto.Message) error {
	r := new(pb.WatchResponse)
	proto.Merge(r, m)
	select {
	case c.responses <- r:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// open opens a stream.
func (w *watched) open(caller etcd.Caller) *watchClient {
	c := &watchClient{
		w: w, requests: make(chan *pb.WatchRequest), responses: make(chan *pb.WatchResponse), ended: make(chan error, 1),
	}
	c.ctx, c.cancel = context.WithCancel(w.Context())
	go func() {
		defer c.cancel() // as a transport does when a method returns
		c.ended <- w.Watch(&caller, c)
	}()
	return c
}

func (c *watchClient) create(r *pb.WatchCreateRequest) {
	c.requests <- &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}
}

// all asks for a watcher of all keys.
func (c *watchClient) all() { c.create(&pb.WatchCreateRequest{RangeEnd: []byte{0}}) }

func (c *watchClient) cancelWatcher(id int64) {
	c.requests <- &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}
}

func (c *watchClient) progress() {
	c.requests <- &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
}

// told takes the responses that have come.
func (c *watchClient) told() (all []string) {
	for {
		synctest.Wait()
		select {
		case r := <-c.responses:
			all = append(all, describe(r))
		default:
			return all
		}
	}
}

// describe is a response as text: "0@5 a=1 -b", with what keys held before in brackets.
func describe(r *pb.WatchResponse) string {
	text := fmt.Sprintf("%d@%d", r.WatchId, r.Header.Revision)
	for yes, word := range map[bool]string{r.Created: " created"} {
		if yes {
			text += word
		}
	}
	if r.Canceled {
		text += " canceled"
	}
	if r.CompactRevision != 0 {
		text += fmt.Sprintf(" compacted %d", r.CompactRevision)
	}
	if r.CancelReason != "" {
		text += ": " + r.CancelReason
	}
	for _, e := range r.Events {
		if e.Type == mvccpb.Event_DELETE {
			text += fmt.Sprintf(" -%s", e.Kv.Key)
		} else {
			text += fmt.Sprintf(" %s=%.8s", e.Kv.Key, e.Kv.Value)
		}
		if e.PrevKv != nil {
			text += fmt.Sprintf("[%s@%d]", e.PrevKv.Value, e.PrevKv.ModRevision)
		}
	}
	if r.Fragment {
		text += " ..."
	}
	return text
}

// expect compares what has come with what is wanted, of each watcher in order.
func (c *watchClient) expect(want ...string) {
	c.w.Helper()
	byWatcher := func(a, b string) int {
		a, _, _ = strings.Cut(a, "@")
		b, _, _ = strings.Cut(b, "@")
		return strings.Compare(a, b)
	}
	got := c.told()
	slices.SortStableFunc(got, byWatcher)
	slices.SortStableFunc(want, byWatcher)
	if !slices.Equal(got, want) {
		c.w.Errorf("got  %q\nwant %q", got, want)
	}
}

// over fails the test unless the stream has ended with an error of a text, and no goroutine of it is left.
func (c *watchClient) over(text string) {
	c.w.Helper()
	err := <-c.ended
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != text {
		c.w.Errorf("ended with %q, want %q", got, text)
	}
	if synctest.Wait(); c.receiving.Load() {
		c.w.Error("the stream still receives")
	}
}

// watching runs a test in a bubble.
func watching(t *testing.T, limits watch.Limits, test func(w *watched, c *watchClient)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, limits)
		c := w.open(etcd.Caller{})
		test(w, c)
		c.cancel()
		w.Wait()
	})
}
