package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// watcher is one stream of watches.
type watcher struct {
	t      *T
	stream pb.Watch_WatchClient
	cancel context.CancelFunc
	got    []proto.Message
	from   chan *pb.WatchResponse
	err    chan error
}

func (t *T) watcher(member int) *watcher { return t.watcherWith(t.ctx, member) }

func (t *T) watcherWith(ctx context.Context, member int) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	t.cleanup = append(t.cleanup, cancel)
	stream, err := pb.NewWatchClient(t.conns[member]).Watch(ctx)
	t.fail("watch", err)
	w := &watcher{t: t, stream: stream, cancel: cancel, from: make(chan *pb.WatchResponse, 1000), err: make(chan error, 1)}
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				w.err <- err
				close(w.from)
				return
			}
			w.from <- r
		}
	}()
	return w
}

func (w *watcher) create(req *pb.WatchCreateRequest) {
	w.t.fail("create", w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: req}}))
}

func (w *watcher) cancelWatch(id int64) {
	w.t.fail("cancel", w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}))
}

func (w *watcher) progress() {
	w.t.fail("progress", w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}))
}

// until takes answers until one of them is it, or says that none was.
func (w *watcher) until(what string, is func(*pb.WatchResponse) bool) *pb.WatchResponse {
	timeout := time.After(patience)
	for {
		select {
		case r, ok := <-w.from:
			if !ok {
				w.t.say(what, "the stream has ended: %s", errorText(<-w.err))
				panic(errStop)
			}
			w.got = append(w.got, r)
			if is(r) {
				return r
			}
		case <-timeout:
			w.t.say(what, "nothing came; until then: %s", w.t.masks.watch(w.got))
			panic(errStop)
		}
	}
}

func created(r *pb.WatchResponse) bool  { return r.Created }
func canceled(r *pb.WatchResponse) bool { return r.Canceled }

// eventAt is whether a response holds an event of that revision.
func eventAt(rev int64) func(*pb.WatchResponse) bool {
	return func(r *pb.WatchResponse) bool {
		n := len(r.Events)
		return n > 0 && r.Events[n-1].Kv.ModRevision >= rev
	}
}

// say notes all answers so far.
func (w *watcher) say(step string) {
	w.t.say(step, "%s", w.t.masks.watch(w.got))
	w.got = nil
}

// fence puts a key under a watch of its own on the same stream, and waits for the event: what is
// before it on the stream has come then.
func (w *watcher) fence(step string, key string) {
	rev := w.t.put(key, "fence")
	w.until(step, eventAt(rev))
	w.say(step)
}

var watchChecks = []check{
	{name: "watch/events", loose: true, run: func(t *T) {
		w := t.watcher(0)
		w.create(&pb.WatchCreateRequest{Key: t.b(""), RangeEnd: t.end(), PrevKv: true})
		r := w.until("created", created)
		t.say("header", "%t %s", r.Header.Revision >= t.masks.base, t.masks.render(r))
		t.put("a", "1")
		t.put("a", "2")
		t.sendTo(0, &pb.DeleteRangeRequest{Key: t.b("a")})
		t.sendTo(0, &pb.DeleteRangeRequest{Key: t.b("a")})
		t.sendTo(0, &pb.TxnRequest{Success: ops(opPut(t.b("b"), "1"), opPut(t.b("c"), "1"), opDelete(t.b("x"), nil))})
		t.sendTo(0, &pb.TxnRequest{Success: ops(opDelete(t.b("b"), t.end()))})
		t.sendTo(0, &pb.TxnRequest{Success: ops(opDelete(t.b("d"), nil), opTxn(&pb.TxnRequest{Success: ops(opPut(t.b("d"), "2"))}))})
		w.fence("events", "z")
	}},
	{name: "watch/ids", loose: true, run: func(t *T) {
		w := t.watcher(0)
		for _, req := range []*pb.WatchCreateRequest{
			{Key: t.b("a")}, {Key: t.b("a")}, {Key: t.b("a"), WatchId: 7}, {Key: t.b("a"), WatchId: 7}, {Key: t.b("a"), WatchId: 3}, {Key: t.b("a")}, {Key: t.b("a")}, {Key: t.b("a"), WatchId: -3},
		} {
			w.create(req)
			r := w.until("create", created)
			t.say("created", "id %d canceled %t %q", r.WatchId, r.Canceled, r.CancelReason)
		}
		w.cancelWatch(7)
		r := w.until("cancel", canceled)
		t.say("canceled", "%s", t.masks.render(r))
		w.cancelWatch(7)
		w.cancelWatch(1000)
		w.create(&pb.WatchCreateRequest{Key: t.b("a"), WatchId: 7})
		r = w.until("again", created)
		t.say("created again", "id %d canceled %t %q", r.WatchId, r.Canceled, r.CancelReason)
		w.got = nil
		rev := t.put("a", "1")
		seen := map[int64]bool{}
		w.until("events", func(r *pb.WatchResponse) bool {
			if eventAt(rev)(r) {
				seen[r.WatchId] = true
			}
			return len(seen) == 7
		})
		w.say("events of all")
	}},
	{name: "watch/refused", loose: true, run: func(t *T) {
		rev := t.put("a", "1")
		t.put("a", "2")
		last := t.put("a", "3")
		for _, test := range []struct {
			name string
			req  *pb.WatchCreateRequest
		}{
			{"negative", &pb.WatchCreateRequest{Key: t.b("a"), StartRevision: -1}}, {"empty range", &pb.WatchCreateRequest{Key: t.b("b"), RangeEnd: t.b("a")}},
			{"same end", &pb.WatchCreateRequest{Key: t.b("b"), RangeEnd: t.b("b")}}, {"no key", &pb.WatchCreateRequest{}},
			{"future", &pb.WatchCreateRequest{Key: t.b("a"), StartRevision: last + 1}}, {"filters", &pb.WatchCreateRequest{Key: t.b("a"), Filters: []pb.WatchCreateRequest_FilterType{9}}},
			{"all keys", &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}}}, {"far future", &pb.WatchCreateRequest{Key: t.b("a"), StartRevision: last + 1000}},
		} {
			w := t.watcher(0)
			w.create(test.req)
			r := w.until(test.name, created)
			t.say(test.name, "%s", t.masks.render(r))
			w.cancel()
		}
		t.fail("compact", second(t.sendTo(0, &pb.CompactionRequest{Revision: rev + 1})))
		t.settle()
		for i, start := range []int64{1, rev, rev + 1, rev + 2} {
			w := t.watcher(0)
			w.create(&pb.WatchCreateRequest{Key: t.b("a"), StartRevision: start})
			w.until("compacted", func(r *pb.WatchResponse) bool { return r.Canceled || eventAt(last)(r) })
			w.say(fmt.Sprint("from ", i))
			w.cancel()
		}
	}},
	{name: "watch/from-the-past", loose: true, run: func(t *T) {
		first := t.put("a", "1")
		t.put("b", "1")
		t.put("a", "2")
		t.sendTo(0, &pb.DeleteRangeRequest{Key: t.b("a")})
		last := t.put("b", "2")
		t.settle()
		for i := range 3 {
			w := t.watcher(i)
			w.create(&pb.WatchCreateRequest{Key: t.b(""), RangeEnd: t.end(), StartRevision: first + int64(i), PrevKv: i%2 == 0})
			w.until("events", eventAt(last))
			w.say(fmt.Sprint("from ", i))
		}
		w := t.watcher(0)
		w.create(&pb.WatchCreateRequest{Key: t.b("a"), StartRevision: first})
		w.create(&pb.WatchCreateRequest{Key: t.b("b"), StartRevision: last})
		w.until("events", eventAt(last))
		w.fence("one key", "b")
	}},
	{name: "watch/from-the-future", loose: true, run: func(t *T) {
		now := t.put("a", "1")
		w := t.watcher(0)
		w.create(&pb.WatchCreateRequest{Key: t.b(""), RangeEnd: t.end(), StartRevision: now + 3})
		w.until("created", created)
		t.put("a", "2")
		t.put("a", "3")
		t.put("a", "4")
		w.fence("events", "z")
	}},
	{name: "watch/filters", loose: true, run: func(t *T) {
		for _, filters := range [][]pb.WatchCreateRequest_FilterType{{pb.WatchCreateRequest_NOPUT}, {pb.WatchCreateRequest_NODELETE}, {pb.WatchCreateRequest_NOPUT, pb.WatchCreateRequest_NODELETE}} {
			w := t.watcher(0)
			w.create(&pb.WatchCreateRequest{Key: t.b(""), RangeEnd: t.end(), Filters: filters})
			w.until("created", created)
			w.create(&pb.WatchCreateRequest{Key: t.b("z")})
			w.until("created", created)
			t.put("a", "1")
			t.sendTo(0, &pb.DeleteRangeRequest{Key: t.b("a")})
			rev := t.put("z", "fence")
			w.until("fence", func(r *pb.WatchResponse) bool { return r.WatchId == 1 && eventAt(rev)(r) })
			w.progress()
			w.until("progress", func(r *pb.WatchResponse) bool { return len(r.Events) == 0 && !r.Created })
			w.say(fmt.Sprint(filters))
			w.cancel()
		}
	}},
	{name: "watch/progress", loose: true, run: func(t *T) {
		w := t.watcher(0)
		rev := t.put("a", "1")
		w.progress()
		w.create(&pb.WatchCreateRequest{Key: t.b("a"), StartRevision: rev})
		w.until("event", eventAt(rev))
		w.say("before")
		last := t.put("other", "1")
		w.progress()
		r := w.until("progress", func(r *pb.WatchResponse) bool { return len(r.Events) == 0 && !r.Created })
		t.say("progress", "id %d, of the last put or behind it: %t", r.WatchId, r.Header.Revision >= last)
		w.got = nil
		w.create(&pb.WatchCreateRequest{Key: t.b("b"), ProgressNotify: true})
		created := w.until("created", created)
		r = w.until("notify", func(r *pb.WatchResponse) bool {
			return len(r.Events) == 0 && r.WatchId == created.WatchId && !r.Created
		})
		t.say("notify", "%s", t.masks.render(r))
	}},
	{name: "watch/fragment", loose: true, run: func(t *T) {
		w := t.watcher(0)
		w.create(&pb.WatchCreateRequest{Key: t.b(""), RangeEnd: t.end(), Fragment: true})
		w.until("created", created)
		var puts []*pb.RequestOp
		for i := range 20 {
			puts = append(puts, opPut(t.b(fmt.Sprintf("k%02d", i)), strings.Repeat("x", 70_000)))
		}
		resp, err := t.sendTo(0, &pb.TxnRequest{Success: puts})
		t.fail("txn", err)
		rev := resp.(*pb.TxnResponse).Header.Revision
		events, parts := 0, 0
		w.until("last", func(r *pb.WatchResponse) bool {
			events, parts = events+len(r.Events), parts+1
			return eventAt(rev)(r) && !r.Fragment
		})
		t.say("parts", "events %d, more than one part: %t", events, parts > 1)
	}},
	{name: "watch/require-leader", loose: true, run: func(t *T) {
		w := t.watcherWith(metadata.AppendToOutgoingContext(t.ctx, "hasleader", "true"), 0)
		w.create(&pb.WatchCreateRequest{Key: t.b(""), RangeEnd: t.end()})
		w.until("created", created)
		w.fence("events", "a")
	}},
	{name: "watch/half-closed", loose: true, run: func(t *T) {
		w := t.watcher(0)
		w.create(&pb.WatchCreateRequest{Key: t.b("a")})
		w.until("created", created)
		w.stream.CloseSend()
		w.fence("goes on", "a")
	}},
	{name: "watch/compaction-meanwhile", loose: true, run: func(t *T) {
		w := t.watcher(0)
		w.create(&pb.WatchCreateRequest{Key: t.b("a")})
		w.until("created", created)
		for i := range 5 {
			t.put("a", fmt.Sprint(i))
		}
		last := t.put("a", "last")
		w.until("events", eventAt(last))
		t.fail("compact", second(t.sendTo(0, &pb.CompactionRequest{Revision: last})))
		w.fence("goes on", "a")
	}},
	{name: "watch/lease-expires", loose: true, run: func(t *T) {
		grant, err := t.sendTo(0, &pb.LeaseGrantRequest{TTL: 60})
		t.fail("grant", err)
		id := grant.(*pb.LeaseGrantResponse).ID
		w := t.watcher(0)
		w.create(&pb.WatchCreateRequest{Key: t.b(""), RangeEnd: t.end(), PrevKv: true})
		w.until("created", created)
		for _, k := range []string{"c", "a", "b"} {
			t.fail("put", second(t.sendTo(0, &pb.PutRequest{Key: t.b(k), Lease: id})))
		}
		t.fail("revoke", second(t.sendTo(0, &pb.LeaseRevokeRequest{ID: id})))
		w.fence("events", "z")
	}},
	{name: "watch/client", loose: true, run: func(t *T) {
		ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(t.ctx))
		defer cancel()
		ch := t.client.Watch(ctx, t.k(""), clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify(), clientv3.WithProgressNotify())
		r := <-ch
		t.say("created", "%t", r.Created)
		for i := range 20 {
			_, err := t.client.Put(ctx, t.k(fmt.Sprint("k", i%3)), fmt.Sprint(i))
			t.fail("put", err)
		}
		events := 0
		for events < 20 {
			r := <-ch
			if r.Err() != nil || len(r.Events) == 0 && !r.IsProgressNotify() {
				t.say("response", "%v", r.Err())
				return
			}
			for _, e := range r.Events {
				t.say("event", "%s %q create %t modify %t version %d prev %t", e.Type, e.Kv.Value, e.IsCreate(), e.IsModify(), e.Kv.Version, e.PrevKv != nil)
				events++
			}
		}
		t.fail("progress", t.client.RequestProgress(ctx))
		r = <-ch
		t.say("progress", "%t", r.IsProgressNotify())
		cancel()
		for range ch {
		}
		t.say("ended", "yes")
	}},
	{name: "watch/client-compacted", loose: true, run: func(t *T) {
		first := t.put("a", "1")
		last := t.put("a", "2")
		t.fail("compact", second(t.sendTo(0, &pb.CompactionRequest{Revision: last})))
		fence := t.put("a", "3")
		t.settle()
		for i, rev := range []int64{first, last, fence} {
			ctx, cancel := context.WithTimeout(t.ctx, patience)
			var events []int64
			for r := range t.client.Watch(ctx, t.k("a"), clientv3.WithRev(rev)) {
				if r.Err() != nil {
					t.say(fmt.Sprint("from ", i), "%v compacted %s", r.Err(), t.masks.revision(r.CompactRevision))
				}
				for _, e := range r.Events {
					if events = append(events, e.Kv.Version); e.Kv.ModRevision == fence {
						cancel()
					}
				}
			}
			t.say(fmt.Sprint("from ", i), "versions %d", events)
			cancel()
		}
	}},
	{name: "watch/thousand-on-one-stream", loose: true, run: func(t *T) {
		const n = 1000
		w := t.watcher(1)
		go func() {
			for i := range n { // until says it, should the stream end
				w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: t.b(fmt.Sprint("k", i%10))}}})
			}
		}()
		count := 0
		w.until("created", func(r *pb.WatchResponse) bool {
			if r.Created {
				count++
			}
			return count == n
		})
		rev := t.put("k3", "1")
		seen := 0
		w.until("events", func(r *pb.WatchResponse) bool {
			if eventAt(rev)(r) {
				seen++
			}
			return seen == n/10
		})
		t.say("events", "%d", seen)
	}},
}

// second is the error of a call.
func second(_ proto.Message, err error) error { return err }
