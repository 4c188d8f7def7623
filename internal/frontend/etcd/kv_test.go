package etcd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
	"balsa.example/rsm"
)

func put(key, value string) *pb.PutRequest {
	return &pb.PutRequest{Key: []byte(key), Value: []byte(value)}
}

func get(key, end string) *pb.RangeRequest {
	return &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}
}

func del(key, end string) *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}
}

// fill puts keys, each with itself as the value.
func (w *world) fill(t testing.TB, keys ...string) {
	for _, key := range keys {
		do(t, w, w.Put, put(key, key))
	}
}

func keysOf(kvs []*mvccpb.KeyValue) (keys []string) {
	for _, kv := range kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

func same(t testing.TB, what string, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func header(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 7, MemberId: 8, RaftTerm: 9, Revision: revision}
}

func TestHeaderHasTheRevisionAfterTheRequest(t *testing.T) {
	w := newWorld(t)
	same(t, "range of an empty store", do(t, w, w.Range, get("a", "")), &pb.RangeResponse{Header: header(1)})
	same(t, "put", do(t, w, w.Put, put("a", "1")), &pb.PutResponse{Header: header(2)})
	same(t, "put again", do(t, w, w.Put, put("a", "2")), &pb.PutResponse{Header: header(3)})
	same(t, "delete", do(t, w, w.DeleteRange, del("a", "")), &pb.DeleteRangeResponse{Header: header(4), Deleted: 1})
	same(t, "delete of nothing", do(t, w, w.DeleteRange, del("a", "")), &pb.DeleteRangeResponse{Header: header(4)})
	same(t, "delete of no span", do(t, w, w.DeleteRange, del("z", "a")), &pb.DeleteRangeResponse{Header: header(4)})
	old := get("a", "")
	old.Revision = 2
	same(t, "range at an old revision", do(t, w, w.Range, old), &pb.RangeResponse{
		Header: header(4), Count: 1,
		Kvs: []*mvccpb.KeyValue{{Key: []byte("a"), Value: []byte("1"), CreateRevision: 2, ModRevision: 2, Version: 1}},
	})
	same(t, "compaction", do(t, w, w.Compact, &pb.CompactionRequest{Revision: 3, Physical: true}), &pb.CompactionResponse{Header: header(4)})
}

func TestRangeEndHasOneMeaning(t *testing.T) {
	w := newWorld(t)
	all := []string{"\x00", "a", "a\x00", "aa", "b", "\xff\xff"}
	w.fill(t, all...)
	for _, tt := range []struct {
		key, end string
		want     []string
	}{
		{"a", "", []string{"a"}},
		{"a", "a\x00", []string{"a"}},
		{"a", "b", []string{"a", "a\x00", "aa"}},
		{"a", "\x00", all[1:]},
		{"\x00", "\x00", all},
		{"\x00", "", all[:1]},
		{"b", "a", nil},
		{"a", "a", nil},
	} {
		r := do(t, w, w.Range, get(tt.key, tt.end))
		if got := keysOf(r.Kvs); !slices.Equal(got, tt.want) || r.Count != int64(len(tt.want)) || r.More {
			t.Errorf("%q to %q: %q, count %d", tt.key, tt.end, got, r.Count)
		}
	}
	if r := do(t, w, w.DeleteRange, del("a", "\x00")); r.Deleted != 5 {
		t.Errorf("from a on %d keys were deleted", r.Deleted)
	}
}

func TestRangeOptions(t *testing.T) {
	w := newWorld(t)
	// Created in the order c, a, b at 2, 3, 4; a is changed again at 5, c at 6 and 7.
	w.fill(t, "c", "a", "b", "a", "c", "c")
	for _, tt := range []struct {
		name  string
		set   func(*pb.RangeRequest)
		want  string
		more  bool
		count int64
	}{
		{"limit", func(r *pb.RangeRequest) { r.Limit = 2 }, "a b", true, 3},
		{"limit of all", func(r *pb.RangeRequest) { r.Limit = 3 }, "a b c", false, 3},
		{"no limit below 0", func(r *pb.RangeRequest) { r.Limit = -1 }, "a b c", false, 3},
		{"count only", func(r *pb.RangeRequest) { r.CountOnly, r.Limit = true, 1 }, "", false, 3},
		{"revision below 0 is the present", func(r *pb.RangeRequest) { r.Revision = -1 }, "a b c", false, 3},
		{"old revision", func(r *pb.RangeRequest) { r.Revision = 3 }, "a c", false, 2},
		{"descending", func(r *pb.RangeRequest) { r.SortOrder, r.Limit = pb.RangeRequest_DESCEND, 1 }, "c", true, 3},
		{"by version", func(r *pb.RangeRequest) { r.SortTarget = pb.RangeRequest_VERSION }, "b a c", false, 3},
		{"by version, limit after the sort", func(r *pb.RangeRequest) { r.SortTarget, r.Limit = pb.RangeRequest_VERSION, 1 }, "b", true, 3},
		{"by creation, descending", func(r *pb.RangeRequest) {
			r.SortTarget, r.SortOrder = pb.RangeRequest_CREATE, pb.RangeRequest_DESCEND
		}, "b a c", false, 3},
		{"by change", func(r *pb.RangeRequest) { r.SortTarget, r.SortOrder = pb.RangeRequest_MOD, pb.RangeRequest_ASCEND }, "b a c", false, 3},
		{"by value", func(r *pb.RangeRequest) { r.SortTarget, r.SortOrder = pb.RangeRequest_VALUE, pb.RangeRequest_DESCEND }, "c b a", false, 3},
		{"least change", func(r *pb.RangeRequest) { r.MinModRevision = 5 }, "a c", false, 3},
		{"last change", func(r *pb.RangeRequest) { r.MaxModRevision = 5 }, "a b", false, 3},
		{"first creation", func(r *pb.RangeRequest) { r.MinCreateRevision = 3 }, "a b", false, 3},
		{"last creation", func(r *pb.RangeRequest) { r.MaxCreateRevision = 3 }, "a c", false, 3},
		{"bounds below 0", func(r *pb.RangeRequest) { r.MaxModRevision = -1 }, "", false, 3},
		{"limit after the bounds", func(r *pb.RangeRequest) { r.MinModRevision, r.Limit = 5, 1 }, "a", true, 3},
	} {
		r := get("\x00", "\x00")
		tt.set(r)
		got := do(t, w, w.Range, r)
		if keys := strings.Join(keysOf(got.Kvs), " "); keys != tt.want || got.More != tt.more || got.Count != tt.count {
			t.Errorf("%s: %q, more %t, count %d; want %q, %t, %d", tt.name, keys, got.More, got.Count, tt.want, tt.more, tt.count)
		}
	}
}

func TestKeysOnlyLeavesTheValuesOut(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a", "b")
	for _, end := range []string{"", "\x00"} {
		r := get("a", end)
		r.KeysOnly = true
		for _, kv := range do(t, w, w.Range, r).Kvs {
			if len(kv.Value) != 0 || kv.ModRevision == 0 {
				t.Errorf("%v", kv)
			}
		}
	}
}

func TestSerializableRangeAsksNobody(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a")
	w.node.readErr = &rsm.NotLeaderError{}
	_, err := w.Range(t.Context(), w.any, get("a", ""))
	refused(t, err, translate.ErrNoLeader)
	r := get("a", "")
	r.Serializable = true
	if got := do(t, w, w.Range, r); got.Count != 1 || w.node.reads != 1 {
		t.Errorf("%v, %d reads of the cluster", got, w.node.reads)
	}
}

func TestRangeAtARevisionThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a", "b", "c")
	do(t, w, w.Compact, &pb.CompactionRequest{Revision: 3})
	for _, end := range []string{"", "\x00"} {
		for revision, want := range map[int64]*translate.Error{2: translate.ErrCompacted, 5: translate.ErrFutureRev} {
			r := get("a", end)
			r.Revision = revision
			_, err := w.Range(t.Context(), w.any, r)
			refused(t, err, want)
		}
		r := get("a", end)
		r.Revision = 3
		if do(t, w, w.Range, r).Count == 0 {
			t.Error("the compacted revision itself cannot be read")
		}
	}
}

func TestCompactRefusesWhatIsGoneAndWhatIsToCome(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a", "b", "c")
	do(t, w, w.Compact, &pb.CompactionRequest{Revision: 3})
	for revision, want := range map[int64]*translate.Error{
		-1: translate.ErrCompacted, 0: translate.ErrCompacted, 2: translate.ErrCompacted, 3: translate.ErrCompacted, 5: translate.ErrFutureRev,
	} {
		_, err := w.Compact(t.Context(), w.any, &pb.CompactionRequest{Revision: revision})
		refused(t, err, want)
	}
}

func TestBadRequestsChangeNothing(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a")
	huge := strings.Repeat("x", 3<<19)
	many := func(op *pb.RequestOp) (ops []*pb.RequestOp) {
		for range 129 {
			ops = append(ops, op)
		}
		return ops
	}
	txn := func(ops ...*pb.RequestOp) *pb.TxnRequest { return &pb.TxnRequest{Success: ops} }
	for i, tt := range []struct {
		r    proto.Message
		want *translate.Error
	}{
		{put("", "v"), translate.ErrEmptyKey},
		{put("k", huge), translate.ErrRequestTooLarge},
		{&pb.PutRequest{Key: []byte("a"), Value: []byte("v"), IgnoreValue: true}, translate.ErrValueProvided},
		{&pb.PutRequest{Key: []byte("a"), Lease: 5, IgnoreLease: true}, translate.ErrLeaseProvided},
		{&pb.PutRequest{Key: []byte("new"), IgnoreValue: true}, translate.ErrKeyNotFound},
		{&pb.PutRequest{Key: []byte("new"), IgnoreLease: true}, translate.ErrKeyNotFound},
		{&pb.PutRequest{Key: []byte("new"), Lease: 404}, translate.ErrLeaseNotFound},
		{&pb.PutRequest{Key: []byte("new"), Lease: -404}, translate.ErrLeaseNotFound},
		{get("", ""), translate.ErrEmptyKey},
		{get("", "\x00"), translate.ErrEmptyKey},
		{&pb.RangeRequest{Key: []byte("a"), SortOrder: 3}, translate.ErrInvalidSortOption},
		{&pb.RangeRequest{Key: []byte("a"), SortTarget: 5}, translate.ErrInvalidSortOption},
		{del("", ""), translate.ErrEmptyKey},
		{txn(opPut("", "")), translate.ErrEmptyKey},
		{txn(opGet("", "")), translate.ErrEmptyKey},
		{txn(opDel("", "")), translate.ErrEmptyKey},
		{txn(opTxn(txn(opPut("", "")))), translate.ErrEmptyKey},
		{&pb.TxnRequest{Compare: []*pb.Compare{{}}}, translate.ErrEmptyKey},
		{txn(&pb.RequestOp{}), translate.ErrKeyNotFound},
		{txn(nil), translate.ErrKeyNotFound},
		{txn(many(opGet("a", ""))...), translate.ErrTooManyOps},
		{&pb.TxnRequest{Failure: many(opGet("a", ""))}, translate.ErrTooManyOps},
		{txn(append(many(opGet("a", ""))[:128], opTxn(txn(opGet("a", ""))))...), translate.ErrTooManyOps},
		{txn(append(many(opGet("a", ""))[:126], opTxn(txn(opGet("a", ""), opGet("a", ""))))...), translate.ErrTooManyOps},
		{txn(opPut("a", huge)), translate.ErrRequestTooLarge},
		{txn(opPut("b", "1"), opPut("c", "2"), &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte("new"), Lease: 404}}}), translate.ErrLeaseNotFound},
		{txn(opPut("b", "1"), &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
			RequestRange: &pb.RangeRequest{Key: []byte("a"), Revision: 99}}}), translate.ErrFutureRev},
	} {
		var err error
		switch r := tt.r.(type) {
		case *pb.PutRequest:
			_, err = w.Put(t.Context(), w.any, r)
		case *pb.RangeRequest:
			_, err = w.Range(t.Context(), w.any, r)
		case *pb.DeleteRangeRequest:
			_, err = w.DeleteRange(t.Context(), w.any, r)
		case *pb.TxnRequest:
			_, err = w.Txn(t.Context(), w.any, r)
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) { refused(t, err, tt.want) })
	}
	if got := w.node.machine.Revision(); got != 2 {
		t.Errorf("the store is at revision %d", got)
	}
}

func TestPutKeepsValueOrLease(t *testing.T) {
	w := newWorld(t)
	do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 60})
	w.fill(t, "k")
	do(t, w, w.Put, &pb.PutRequest{Key: []byte("k"), Lease: 5, IgnoreValue: true})
	r := do(t, w, w.Put, &pb.PutRequest{Key: []byte("k"), Value: []byte("v2"), IgnoreLease: true, PrevKv: true})
	same(t, "previous", r.PrevKv, &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("k"), CreateRevision: 2, ModRevision: 3, Version: 2, Lease: 5})
	same(t, "now", do(t, w, w.Range, get("k", "")).Kvs[0],
		&mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v2"), CreateRevision: 2, ModRevision: 4, Version: 3, Lease: 5})
	do(t, w, w.Put, put("k", "v3"))
	if kv := do(t, w, w.Range, get("k", "")).Kvs[0]; kv.Lease != 0 {
		t.Errorf("a put without a lease left the key on lease %d", kv.Lease)
	}
	if r := do(t, w, w.Put, &pb.PutRequest{Key: []byte("new"), PrevKv: true}); r.PrevKv != nil {
		t.Errorf("a new key had %v", r.PrevKv)
	}
	r2 := do(t, w, w.DeleteRange, &pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("\x00"), PrevKv: true})
	if got := keysOf(r2.PrevKvs); !slices.Equal(got, []string{"k", "new"}) || r2.Deleted != 2 {
		t.Errorf("deleted %v", r2)
	}
}

// It is told at once: a larger response, for which there has to be room, would not help, nor would a limit.
func TestATransactionThatLooksAtTooManyKeysIsRefused(t *testing.T) {
	w := newWorld(t)
	const ops = 128
	for i := range kv.MaxLooks/ops/16/ops + 1 {
		var puts []*pb.RequestOp
		for j := range ops {
			puts = append(puts, opPut(fmt.Sprintf("k%03d-%03d", i, j), ""))
		}
		do(t, w, w.Txn, &pb.TxnRequest{Success: puts})
	}
	r := new(pb.TxnRequest)
	for range ops {
		r.Compare = append(r.Compare, &pb.Compare{Key: []byte("k"), RangeEnd: []byte("l"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{}})
	}
	_, err := w.Txn(t.Context(), w.any, r)
	refused(t, err, translate.ErrTooManyLooks)
	w.node.submitErr = fmt.Errorf("%w: %w: a billion", rsm.ErrTooLarge, kv.ErrTooManyLooks)
	r.Success = []*pb.RequestOp{opPut("k", "v")}
	_, err = w.Txn(t.Context(), w.any, r)
	refused(t, err, translate.ErrTooManyLooks)
}

func TestErrorsOfTheNodeReachTheClient(t *testing.T) {
	w := newWorld(t)
	w.node.submitErr = rsm.ErrBusy
	_, err := w.Put(t.Context(), w.any, put("k", "v"))
	refused(t, err, translate.ErrTooManyRequests)
	_, err = w.Txn(t.Context(), w.any, &pb.TxnRequest{Success: []*pb.RequestOp{opPut("k", "v")}})
	refused(t, err, translate.ErrTooManyRequests)
	w.node.readErr = rsm.ErrStopped
	_, err = w.Range(t.Context(), w.any, get("k", ""))
	refused(t, err, translate.ErrStopped)
}
