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

// What a transaction has seen between two of its changes is in no revision.
func TestTransactionSaysThatItsResponseIsCut(t *testing.T) {
	for _, ops := range [][]*pb.RequestOp{
		{opPut("a", "1"), opGet("k", "l"), opPut("k17", "")},
		{opPut("a", "1"), opGet("k", "l"), opTxn(&pb.TxnRequest{Success: []*pb.RequestOp{opDel("k17", "")}})},
		{opDel("k17", ""), {Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{
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
