package native

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/frontend/watching"
	"balsa.example/kv"
	"balsa.example/rsm"
)

// What is refused is named by what the flag bounds: that of etcd bounds keys too.
func TestLimitsThatAreRefusedAreNamed(t *testing.T) {
	err := CheckLimits(kv.Limits{MaxKeyBytes: maxRequestBytes + 1, MaxValueBytes: maxRequestBytes + 1})
	if err == nil || !strings.HasPrefix(err.Error(), "a request may have 1 to") {
		t.Error(err)
	}
}

// settings are --max-request-bytes: the default, the largest that needs no larger messages, what many users of etcd
// have, and the largest.
var settings = []int{0, 3 << 20, 10 << 20, maxRequestBytes}

// A message from a client, and what a client may have in progress, follow from the setting, and are as ever up to 3 MiB.
func TestBoundsFollowFromTheLargestRequest(t *testing.T) {
	for setting, want := range map[int]clients.Limits{
		0:        {MessageBytes: 4 << 20, RequestBytes: 256 << 20, UnfinishedBytes: 64 << 20},
		3 << 20:  {MessageBytes: 4 << 20, RequestBytes: 256 << 20, UnfinishedBytes: 64 << 20},
		10 << 20: {MessageBytes: 11 << 20, RequestBytes: 256 << 20, UnfinishedBytes: 176 << 20},
		16 << 20: {MessageBytes: 17 << 20, RequestBytes: 272 << 20, UnfinishedBytes: 272 << 20},
	} {
		got := clients.Limits{MessageBytes: MessageBytes(kv.Limits{MaxValueBytes: setting})}.WithDefaults()
		if err := got.Check(); err != nil || got.MessageBytes != want.MessageBytes || got.RequestBytes != want.RequestBytes || got.UnfinishedBytes != want.UnfinishedBytes {
			t.Errorf("%d bytes: %+v, %v", setting, got, err)
		}
	}
}

// Whatever limits are allowed, the largest request that they allow can arrive, be proposed, and be answered.
func TestTheLargestRequestsArrive(t *testing.T) {
	for _, setting := range settings {
		testLargestRequests(t, kv.Limits{MaxValueBytes: setting, MaxTxnOps: maxTxnOps})
	}
}

func testLargestRequests(t *testing.T, limits kv.Limits) {
	if err := CheckLimits(limits); err != nil {
		t.Fatal(err)
	}
	value, key := make([]byte, cmp.Or(limits.MaxValueBytes, kv.DefaultLimits.MaxValueBytes)), bytes.Repeat([]byte("k"), 64<<10)
	ops := func(n int) []*api.TxnOp { return slices.Repeat([]*api.TxnOp{rangeIn(&api.Range{Span: oneKey})}, n) }
	wide := new(api.Txn) // as many operations as there may be in all
	for range 31 {
		wide.Then = append(wide.Then, &api.TxnOp{Op: &api.TxnOp_Txn{Txn: &api.Txn{Then: ops(1 << 10)}}})
	}
	full := &api.Txn{Then: ops(maxTxnOps), Else: ops(maxTxnOps)} // as many as there may be in each list
	for i := range maxTxnOps {
		full.Compares = append(full.Compares, &api.Compare{Span: oneKey, Number: uint64(i)})
	}
	puts := new(api.Txn)
	for i := range maxTxnOps {
		puts.Then = append(puts.Then, &api.TxnOp{Op: &api.TxnOp_Put{Put: &api.Put{Key: fmt.Append(nil, i)}}})
	}
	heavy := &api.Txn{Compares: full.Compares, Else: full.Else} // and as many bytes
	heavy.Then = append(heavy.Then, puts.Then...)
	heavy.Then[0] = &api.TxnOp{Op: &api.TxnOp_Put{Put: &api.Put{Key: []byte("heavy"), Value: value[:len(value)-128<<10]}}}
	for name, req := range map[string]*api.Request{
		"a put":         {Kind: api.Request_PUT, Unconditional: true, Key: key, Value: value},
		"and with prev": {Kind: api.Request_PUT, Unconditional: true, Key: key, Value: value, Call: &api.Request_Put{Put: &api.Put{Prev: true}}},
		"heavy":         txnOf(heavy),
		"a transaction": txnOf(wide),
		"full lists":    txnOf(full),
		"puts":          txnOf(puts),
	} {
		data, err := api.Codec().Marshal(&api.RequestBatch{Requests: []*api.Request{req}})
		if err != nil {
			t.Fatal(err)
		}
		var batch api.RequestBatch
		if err := api.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data.Materialize())}, &batch); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if data.Len() > MessageBytes(limits) || data.Len() > rsm.MaxOpBytesLimit-1<<20 || costOf(req)+expectedOf(req) > 8*int64(MessageBytes(limits)) {
			t.Errorf("%d bytes: %s has %d bytes, and counts for %d", limits.MaxValueBytes, name, data.Len(), costOf(req)+expectedOf(req))
		}
		h, _ := nodetest.New()
		h.Limits = limits
		h.Handle(batch.Requests[0], func(r *api.Reply) {
			if r.Code != api.Reply_OK {
				t.Errorf("%s gets %s %s", name, r.Code, r.Message)
			}
			if n := proto.Size(&api.ReplyBatch{Replies: []*api.Reply{r}}); n > api.MaxReplyBytes {
				t.Errorf("the reply to %s has %d bytes", name, n)
			}
		})
	}
}

// The largest replies fit into what clients take: a transaction that reads large values, of which a few are cut, and an
// event with its previous value.
func TestTheLargestRepliesArrive(t *testing.T) {
	for _, setting := range settings {
		h, node := nodetest.New()
		h.Limits = kv.Limits{MaxValueBytes: setting, MaxTxnOps: maxTxnOps}
		value := make([]byte, cmp.Or(setting, kv.DefaultLimits.MaxValueBytes))
		reads := new(api.Txn)
		for i := range 10 {
			key := fmt.Sprint(i)
			node.Do(kv.Op{Kind: kv.Put, Key: key, Value: value, Unconditional: true})
			reads.Then = append(reads.Then, rangeIn(&api.Range{Span: &api.Span{From: []byte(key), To: []byte(key + "\x00")}}))
		}
		h.Handle(txnOf(reads), func(r *api.Reply) {
			size, whole := proto.Size(&api.ReplyBatch{Replies: []*api.Reply{r}}), 0
			for _, op := range r.GetTxn().GetReplies() {
				whole += len(op.GetRange().GetEntries())
			}
			if size > api.MaxReplyBytes || whole < 2 || r.Incomplete != (whole < 10) {
				t.Errorf("%d bytes: the reply has %d bytes and %d values, incomplete %t", setting, size, whole, r.Incomplete)
			}
		})
		entry := &api.Entry{Key: make([]byte, 64<<10), Value: value}
		event := &api.WatchReply{Updates: []*api.WatchUpdate{{Batches: []*api.EventBatch{{Events: []*api.Event{{Entry: entry, Prev: entry}}}}}}}
		if size := proto.Size(event) + watching.MaxBytes; size > api.MaxReplyBytes {
			t.Errorf("%d bytes: an event has %d", setting, size)
		}
	}
}
