package native

import (
	"bytes"
	"runtime"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/state"
)

func rangeOf(r *api.Range) *api.Request {
	return &api.Request{Kind: api.Request_RANGE, Call: &api.Request_Range{Range: r}}
}

func txnOf(t *api.Txn) *api.Request {
	return &api.Request{Kind: api.Request_TXN, Call: &api.Request_Txn{Txn: t}}
}

func rangeIn(r *api.Range) *api.TxnOp { return &api.TxnOp{Op: &api.TxnOp_Range{Range: r}} }

var (
	everything = &api.Span{Open: true}
	oneKey     = &api.Span{From: []byte("k"), To: []byte("k\x00")}
)

// allocated returns how many bytes f allocates, and keeps.
func allocated(f func() any) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what is in a sync.Pool goes with the second one
	runtime.ReadMemStats(&before)
	kept := f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// What requests count for is at least about what they take.
func TestRequestsCountForTheirMemory(t *testing.T) {
	put := &api.Put{Key: []byte("key"), Value: bytes.Repeat([]byte("v"), 1000)}
	ops := make([]*api.TxnOp, 128)
	for i := range ops {
		ops[i] = &api.TxnOp{Op: &api.TxnOp_Put{Put: put}}
	}
	compares := make([]*api.Compare, 128)
	for i := range compares {
		compares[i] = &api.Compare{Span: oneKey, Value: []byte("value")}
	}
	nested := &api.TxnOp{Op: &api.TxnOp_Txn{Txn: &api.Txn{Compares: compares, Else: ops}}}
	for name, req := range map[string]*api.Request{
		"puts":     txnOf(&api.Txn{Then: ops}),
		"compares": txnOf(&api.Txn{Compares: compares}),
		"nested":   txnOf(&api.Txn{Then: []*api.TxnOp{nested, nested}}),
		"range":    rangeOf(&api.Range{Span: &api.Span{From: make([]byte, 60_000), Open: true}}),
		"delete":   {Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: everything}}},
		"lease":    {Kind: api.Request_LEASE_KEEP_ALIVE, Call: &api.Request_Lease{Lease: &api.Lease{Id: 1}}},
		"put":      {Kind: api.Request_PUT, Key: []byte("k"), Value: make([]byte, 1000), Call: &api.Request_Put{Put: &api.Put{Lease: 1}}},
	} {
		const copies = 100
		data, err := proto.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		took := allocated(func() any {
			all := make([]*api.Request, copies)
			for i := range all {
				all[i] = new(api.Request)
				if err := proto.Unmarshal(data, all[i]); err != nil {
					t.Fatal(err)
				}
			}
			return all
		}) / copies
		if cost := costOf(req); cost < took*9/10 || cost > 4*took {
			t.Errorf("%s counts for %d bytes, and takes %d", name, cost, took)
		}
	}
}

// What replies count for is at least about what they take.
func TestRepliesCountForTheirMemory(t *testing.T) {
	h, node := nodetest.New()
	for i := range 1000 {
		node.Do(kv.Op{Kind: kv.Put, Key: string(rune('a' + i)), Value: make([]byte, 10), Unconditional: true})
	}
	wholeRange := rangeIn(&api.Range{Span: everything})
	for name, req := range map[string]*api.Request{
		"range":  rangeOf(&api.Range{Span: everything}),
		"ranges": txnOf(&api.Txn{Then: []*api.TxnOp{wholeRange, wholeRange}}),
		"nested": txnOf(&api.Txn{Then: []*api.TxnOp{{Op: &api.TxnOp_Txn{Txn: &api.Txn{Then: []*api.TxnOp{wholeRange}}}}}}),
	} {
		var reply *api.Reply
		took := allocated(func() any {
			h.Handle(req, func(r *api.Reply) { reply = r })
			return reply
		})
		if cost := costOfReply(reply); cost < took*8/10 || cost > 4*took {
			t.Errorf("%s counts for %d bytes, and takes %d", name, cost, took)
		}
	}
}

// A client has no more ranges in progress than it may have pages.
func TestRangesCountForTheirPagesBeforeTheyAreRead(t *testing.T) {
	for _, test := range []struct {
		req  *api.Request
		want int64
	}{
		{rangeOf(&api.Range{Span: everything}), translate.MaxPageBytes},
		{rangeOf(&api.Range{Span: everything, MaxBytes: 1000}), 1000},
		{rangeOf(&api.Range{Span: everything, MaxBytes: 1 << 40}), translate.MaxPageBytes},
		{rangeOf(&api.Range{Span: everything, Limit: 1 << 63}), translate.MaxPageBytes},
		{rangeOf(&api.Range{Span: everything, Limit: 2}), 2 * expectedEntry},
		{rangeOf(&api.Range{Span: everything, CountOnly: true}), 0},
		{rangeOf(&api.Range{Span: oneKey}), 0},
		{rangeOf(nil), translate.MaxPageBytes},
		{txnOf(&api.Txn{Then: []*api.TxnOp{rangeIn(&api.Range{Span: everything})}, Else: []*api.TxnOp{rangeIn(&api.Range{Span: oneKey})}}), translate.MaxPageBytes},
		{txnOf(&api.Txn{Then: make([]*api.TxnOp, 0)}), 0},
		{&api.Request{Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: everything, Prev: true}}}, translate.MaxPageBytes},
		{&api.Request{Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: everything}}}, 0},
		{&api.Request{Kind: api.Request_LEASES}, 8 * translate.MaxPageKeys},
		{&api.Request{Kind: api.Request_PUT, Key: []byte("k")}, 0},
	} {
		if got := expectedOf(test.req); got != test.want {
			t.Errorf("%v is expected to get %d bytes, want %d", test.req, got, test.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		h, _ := nodetest.New()
		var waiting []func()
		h.Background = func(read func()) { waiting = append(waiting, read) }
		c := openStream(t, &h)
		c.stream.page = 0 // small ones were read before: none is ahead
		const n = 2 * clients.MaxClientBytes / translate.MaxPageBytes
		batch := &api.RequestBatch{}
		for id := range uint64(n) {
			req := rangeOf(&api.Range{Span: everything})
			req.Id = id
			batch.Requests = append(batch.Requests, req)
		}
		c.requests <- batch
		synctest.Wait()
		if len(waiting) < n/4 || len(waiting) >= n/2 {
			t.Errorf("%d of %d ranges wait to be read", len(waiting), n)
		}
		h.Background = func(read func()) { read() } // those that are parked
		go func() {
			for _, read := range waiting {
				read()
			}
		}()
		c.read(n)
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}

// Where a client has too many replies that it has not read, the next write is executed, and
// says so: BUSY would say that it was not.
func TestRepliesToWritesAreShortenedOverABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Do(kv.Op{Kind: kv.Put, Key: "k", Value: make([]byte, 1<<20), Unconditional: true})
		c := openStream(t, &h)
		const n = 2 * clients.MaxClientBytes >> 20
		batch := &api.RequestBatch{}
		for id := range uint64(n) {
			req := txnOf(&api.Txn{Then: []*api.TxnOp{rangeIn(&api.Range{Span: oneKey})}})
			req.Id = id
			batch.Requests = append(batch.Requests, req)
		}
		c.requests <- batch
		synctest.Wait()
		if b := c.stream.account.Client.Count().Bytes; b > clients.MaxClientBytes || b < clients.MaxClientBytes/2 {
			t.Errorf("%d bytes are counted for a client that does not read", b)
		}
		whole, shortened := 0, 0
		for whole+shortened < n {
			for _, r := range (<-c.replies).Replies {
				switch {
				case r.Code != api.Reply_OK || !r.GetTxn().Succeeded || r.Incomplete == (len(r.GetTxn().Replies) > 0):
					t.Fatalf("a transaction gets %v", r)
				case r.Incomplete:
					shortened++
				default:
					whole++
				}
			}
		}
		if whole < n/4 || shortened < n/4 {
			t.Errorf("%d whole replies, %d that are shortened", whole, shortened)
		}
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}

// A lease that is kept alive has a time to live in the reply, whatever there is room for: without
// one the client would believe that it has ended.
func TestKeptLeasesLiveOverABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Machine.DoOp(state.Command{More: &state.More{Kind: state.KindGrant, Lease: 1, TTL: 1e10}})
		c := openStream(t, &h)
		for _, others := range [][]int64{nil, make([]int64, 100)} {
			for i := range others {
				others[i] = 1
			}
			req := &api.Request{Kind: api.Request_LEASE_KEEP_ALIVE, Call: &api.Request_Lease{Lease: &api.Lease{Id: 1, Others: others}}}
			account := c.stream.account
			room := clients.MaxClientBytes - account.Client.Count().Bytes - costOf(req)
			account.Enter(room)
			c.requests <- &api.RequestBatch{Requests: []*api.Request{req}}
			r := (<-c.replies).Replies[0]
			if r.Code != api.Reply_OK || !r.Incomplete || r.GetLease().GetTtlMs() != 10_000 || len(r.GetLease().GetOthersTtlMs()) > 0 {
				t.Errorf("a lease and %d others get %v", len(others), r)
			}
			synctest.Wait()
			account.Leave(room)
		}
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}
