package etcd_test

import (
	"bytes"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
)

// large is a world with 18 MiB in 18 keys, more than the machine returns from a transaction.
func large(t *testing.T) *world {
	w := newWorld(t)
	value := bytes.Repeat([]byte("x"), 1<<20)
	for i := range 18 {
		do(t, w, w.Put, &pb.PutRequest{Key: fmt.Appendf(nil, "k%02d", i), Value: value})
	}
	return w
}

func TestRangesOfAnySizeAreWhole(t *testing.T) {
	w := large(t)
	all := get("k", "l")
	if r := do(t, w, w.Range, all); len(r.Kvs) != 18 || r.Count != 18 || r.More {
		t.Errorf("%d of %d keys, more %t", len(r.Kvs), r.Count, r.More)
	}
	limited := get("k", "l")
	limited.Limit = 5
	if r := do(t, w, w.Range, limited); len(r.Kvs) != 5 || r.Count != 18 || !r.More {
		t.Errorf("%d of %d keys, more %t", len(r.Kvs), r.Count, r.More)
	}
	for name, ops := range map[string][]*pb.RequestOp{
		"that reads":  {opGet("k", "l")},
		"that writes": {opPut("a", "1"), opPut("k05", ""), opGet("k", "l"), opPut("b", "1")},
		"that writes later, but reads an old revision": {
			{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Revision: 19}}}, opPut("k05", ""),
		},
		"that writes after it has read": {opGet("k", "l"), opPut("k07", "")},
	} {
		got := do(t, w, w.Txn, &pb.TxnRequest{Success: ops})
		for _, op := range got.Responses {
			if r := op.GetResponseRange(); r != nil && (len(r.Kvs) != 18 || r.More) {
				t.Errorf("in a transaction %s: %d of %d keys, more %t", name, len(r.Kvs), r.Count, r.More)
			}
		}
	}
}

func TestDeleteTellsAllThatItDeleted(t *testing.T) {
	w := large(t)
	r := do(t, w, w.DeleteRange, &pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), PrevKv: true})
	if len(r.PrevKvs) != 18 || r.Deleted != 18 || len(r.PrevKvs[17].Value) != 1<<20 {
		t.Errorf("%d of %d keys", len(r.PrevKvs), r.Deleted)
	}
}

func opPutPrev(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), PrevKv: true}}}
}

func opDelPrev(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), PrevKv: true}}}
}

// The machine leaves out what has no room, of operations on single keys as of others. The response has it.
func TestTransactionTellsAllThatItsPutsReplaced(t *testing.T) {
	w := large(t)
	var ops []*pb.RequestOp
	for i := range 9 {
		ops = append(ops, opPutPrev(fmt.Sprintf("k%02d", i)), opTxn(&pb.TxnRequest{Success: []*pb.RequestOp{opPutPrev(fmt.Sprintf("k%02d", i+9)), opGet("k00", ""), opPutPrev(fmt.Sprint(i))}}))
	}
	got := do(t, w, w.Txn, &pb.TxnRequest{Success: ops})
	for i := range 9 {
		nested := got.Responses[2*i+1].GetResponseTxn().Responses
		for j, r := range []*pb.PutResponse{got.Responses[2*i].GetResponsePut(), nested[0].GetResponsePut()} {
			if key := fmt.Sprintf("k%02d", i+9*j); string(r.PrevKv.GetKey()) != key || len(r.PrevKv.Value) != 1<<20 || r.PrevKv.Version != 1 {
				t.Errorf("%s: %d bytes of %q", key, len(r.PrevKv.GetValue()), r.PrevKv.GetKey())
			}
		}
		if get := nested[1].GetResponseRange(); len(get.Kvs) != 1 || len(get.Kvs[0].Value) != 0 || get.Kvs[0].Version != 2 {
			t.Errorf("%d: k00 is %v", i, get.Kvs)
		}
		if nested[2].GetResponsePut().PrevKv != nil {
			t.Error("a new key held something before")
		}
	}
}

// What a transaction has seen between two of its changes is in no revision.
func TestTransactionSaysThatItsResponseIsCut(t *testing.T) {
	for _, ops := range [][]*pb.RequestOp{
		{opPut("a", "1"), opGet("k", "l"), opPut("k17", "")},
		{opPut("a", "1"), opGet("k", "l"), opTxn(&pb.TxnRequest{Success: []*pb.RequestOp{opDel("k17", "")}})},
		{opDelPrev("k17"), {Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{
			Key: []byte("k"), RangeEnd: []byte("l"), PrevKv: true}}}},
	} {
		w := large(t)
		_, err := w.Txn(t.Context(), w.any, &pb.TxnRequest{Success: ops})
		refused(t, err, translate.ErrTxnCut)
		if w.node.machine.Revision() != 20 {
			t.Error("the transaction was not executed")
		}
	}
}

func TestTransactionThatReadsAsksNobodyIfItIsSerializable(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a")
	serializable := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a"), Serializable: true}}}
	for _, tt := range []struct {
		r     *pb.TxnRequest
		reads int
	}{
		{&pb.TxnRequest{Success: []*pb.RequestOp{serializable}}, 0},
		{&pb.TxnRequest{Success: []*pb.RequestOp{serializable}, Failure: []*pb.RequestOp{opGet("a", "")}}, 1},
		{&pb.TxnRequest{Success: []*pb.RequestOp{opGet("a", "")}}, 1},
		{&pb.TxnRequest{}, 1},
		{&pb.TxnRequest{Success: []*pb.RequestOp{serializable, opPut("b", "")}}, 0},
	} {
		before := w.node.reads
		do(t, w, w.Txn, tt.r)
		if got := w.node.reads - before; got != tt.reads {
			t.Errorf("%v: %d reads of the cluster", tt.r, got)
		}
	}
}
