package etcd_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/internal/frontend/etcd/translate"
)

func opPut(key, value string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put(key, value)}}
}

func opGet(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: get(key, end)}}
}

func opDel(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: del(key, end)}}
}

func opTxn(r *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
}

func TestTxnSeesItsOwnWritesAndEachResponseHasItsRevision(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a") // at 2
	got := do(t, w, w.Txn, &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("a"), Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: 1}}},
		Success: []*pb.RequestOp{
			opGet("a", ""), opPut("b", "1"), opGet("b", ""), opDel("a", ""),
			opTxn(&pb.TxnRequest{
				Compare: []*pb.Compare{{Key: []byte("b"), Target: pb.Compare_CREATE, Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_CreateRevision{}}},
				Failure: []*pb.RequestOp{opGet("a", "\x00")},
			}),
		},
	})
	rev := func(n int64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: n} }
	a := &mvccpb.KeyValue{Key: []byte("a"), Value: []byte("a"), CreateRevision: 2, ModRevision: 2, Version: 1}
	b := &mvccpb.KeyValue{Key: []byte("b"), Value: []byte("1"), CreateRevision: 3, ModRevision: 3, Version: 1}
	ranged := func(revision int64, kv *mvccpb.KeyValue) *pb.ResponseOp {
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: &pb.RangeResponse{Header: rev(revision), Count: 1, Kvs: []*mvccpb.KeyValue{kv}}}}
	}
	same(t, "transaction", got, &pb.TxnResponse{Header: header(3), Succeeded: true, Responses: []*pb.ResponseOp{
		ranged(2, a),
		{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{Header: rev(3)}}},
		ranged(3, b),
		{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: &pb.DeleteRangeResponse{Header: rev(3), Deleted: 1}}},
		// Its compare sees the store before the transaction, in which there is no b.
		{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: &pb.TxnResponse{Header: rev(0), Responses: []*pb.ResponseOp{ranged(3, b)}}}},
	}})
}

func TestTxnThatChangesNothingHasThePresentRevision(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a")
	same(t, "empty", do(t, w, w.Txn, &pb.TxnRequest{}), &pb.TxnResponse{Header: header(2), Succeeded: true})
	got := do(t, w, w.Txn, &pb.TxnRequest{Success: []*pb.RequestOp{opDel("x", "y")}})
	if got.Header.Revision != 2 || got.Responses[0].GetResponseDeleteRange().Header.Revision != 2 {
		t.Errorf("%v", got)
	}
}

// A create of a key that is there is no error: the transaction runs Else.
func TestFailedCompareRunsElse(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a")
	got := do(t, w, w.Txn, &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("a"), Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{}}},
		Success: []*pb.RequestOp{opPut("a", "new")}, Failure: []*pb.RequestOp{opGet("a", "")},
	})
	if got.Succeeded || string(got.Responses[0].GetResponseRange().Kvs[0].Value) != "a" || got.Header.Revision != 2 {
		t.Errorf("%v", got)
	}
}

func TestCompares(t *testing.T) {
	w := newWorld(t)
	do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: -5, TTL: 60})
	w.fill(t, "a") // 2
	w.fill(t, "b") // 3
	do(t, w, w.Put, &pb.PutRequest{Key: []byte("b"), Value: []byte("m"), Lease: -5})
	version := func(n int64) *pb.Compare {
		return &pb.Compare{Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: n}}
	}
	create := func(n int64) *pb.Compare {
		return &pb.Compare{Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{CreateRevision: n}}
	}
	mod := func(n int64) *pb.Compare {
		return &pb.Compare{Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: n}}
	}
	lease := func(n int64) *pb.Compare {
		return &pb.Compare{Target: pb.Compare_LEASE, TargetUnion: &pb.Compare_Lease{Lease: n}}
	}
	value := func(v string) *pb.Compare {
		return &pb.Compare{Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte(v)}}
	}
	for _, tt := range []struct {
		key, end string
		c        *pb.Compare
		want     string // results of =, >, <, !=
	}{
		{"b", "", version(2), "1000"}, {"b", "", version(1), "0101"}, {"b", "", version(3), "0011"},
		{"b", "", create(3), "1000"}, {"b", "", create(2), "0101"}, {"b", "", create(4), "0011"},
		{"b", "", mod(4), "1000"}, {"b", "", mod(3), "0101"}, {"b", "", mod(5), "0011"},
		{"b", "", lease(-5), "1000"}, {"b", "", lease(-6), "0101"}, {"b", "", lease(0), "0011"},
		{"b", "", value("m"), "1000"}, {"b", "", value("a"), "0101"}, {"b", "", value("z"), "0011"},
		{"b", "", version(-1), "0101"}, {"b", "", create(-1), "0101"}, {"b", "", mod(-1), "0101"},
		// A number for another target, or none, is 0, and a value is empty.
		{"b", "", &pb.Compare{Target: pb.Compare_MOD, TargetUnion: &pb.Compare_Version{Version: 4}}, "0101"},
		{"b", "", &pb.Compare{Target: pb.Compare_VALUE}, "0101"},
		// An absent key has 0, and no compare of its value holds.
		{"x", "", version(0), "1000"}, {"x", "", mod(-1), "0101"}, {"x", "", value(""), "0000"},
		{"x", "z", create(0), "1000"}, {"x", "z", create(1), "0011"}, {"x", "\x00", value(""), "0000"},
		// A compare holds for all keys of a range, or not at all.
		{"a", "c", create(3), "0000"}, {"a", "\x00", create(4), "0011"}, {"a", "z", value("0"), "0101"},
	} {
		got := ""
		for _, result := range []pb.Compare_CompareResult{pb.Compare_EQUAL, pb.Compare_GREATER, pb.Compare_LESS, pb.Compare_NOT_EQUAL} {
			tt.c.Key, tt.c.RangeEnd, tt.c.Result = []byte(tt.key), []byte(tt.end), result
			holds := do(t, w, w.Txn, &pb.TxnRequest{Compare: []*pb.Compare{tt.c}}).Succeeded
			got += fmt.Sprint(map[bool]int{true: 1}[holds])
		}
		if got != tt.want {
			t.Errorf("%v: %s, want %s", tt.c, got, tt.want)
		}
	}
}

// What etcd does not know it takes for equal (a target) or for true (a result), and so clients get it here.
func TestComparesOfUnknownKinds(t *testing.T) {
	w := newWorld(t)
	w.fill(t, "a")
	for _, tt := range []struct {
		c     *pb.Compare
		holds bool
	}{
		{&pb.Compare{Target: 5}, true},
		{&pb.Compare{Target: 5, Result: pb.Compare_NOT_EQUAL}, false},
		{&pb.Compare{Target: 5, Result: pb.Compare_GREATER}, false},
		{&pb.Compare{Target: 5, Result: pb.Compare_LESS}, false},
		{&pb.Compare{Target: -1, Result: 4}, true},
		{&pb.Compare{Result: 4}, true},
		{&pb.Compare{Result: 4, Key: []byte("x")}, true},
		{&pb.Compare{Result: 4, Target: pb.Compare_VALUE}, true},
		{&pb.Compare{Result: 4, Target: pb.Compare_VALUE, Key: []byte("x")}, false},
		{&pb.Compare{Result: 4, Target: pb.Compare_VALUE, Key: []byte("a"), RangeEnd: []byte{0}}, true},
		{&pb.Compare{Result: 4, Target: pb.Compare_VALUE, Key: []byte("x"), RangeEnd: []byte{0}}, false},
	} {
		if tt.c.Key == nil {
			tt.c.Key = []byte("a")
		}
		if got := do(t, w, w.Txn, &pb.TxnRequest{Compare: []*pb.Compare{tt.c}}).Succeeded; got != tt.holds {
			t.Errorf("%v: %t", tt.c, got)
		}
	}
}

func TestTxnRefusesRangesBelowRevisionZero(t *testing.T) {
	w := newWorld(t)
	past := opGet("a", "")
	past.GetRequestRange().Revision = -1
	for _, r := range []*pb.TxnRequest{{Success: []*pb.RequestOp{past}}, {Success: []*pb.RequestOp{opPut("a", "1"), opTxn(&pb.TxnRequest{Success: []*pb.RequestOp{past}})}}} {
		_, err := w.Txn(t.Context(), w.any, r)
		refused(t, err, translate.ErrCompacted)
	}
	if got := w.node.machine.Revision(); got != 1 {
		t.Errorf("a refused transaction led to revision %d", got)
	}
}

func TestKeysThatAreChangedTwice(t *testing.T) {
	then := func(ops ...*pb.RequestOp) *pb.RequestOp { return opTxn(&pb.TxnRequest{Success: ops}) }
	otherwise := func(ops ...*pb.RequestOp) *pb.RequestOp { return opTxn(&pb.TxnRequest{Failure: ops}) }
	for i, tt := range []struct {
		ops     []*pb.RequestOp
		refused bool
	}{
		{[]*pb.RequestOp{opPut("a", "1"), opPut("a", "2")}, true},
		{[]*pb.RequestOp{opPut("a", "1"), opDel("a", "")}, true},
		{[]*pb.RequestOp{opDel("a", "c"), opPut("b", "1")}, true},
		{[]*pb.RequestOp{opDel("a", "\x00"), opPut("b", "1")}, true},
		{[]*pb.RequestOp{opDel("\x00", "\x00"), opPut("b", "1")}, true},
		{[]*pb.RequestOp{opDel("a", "b"), opPut("b", "1")}, false},
		{[]*pb.RequestOp{opDel("a", "c"), opDel("b", "d")}, false},
		{[]*pb.RequestOp{opPut("a", "1"), opGet("a", "")}, false},
		{[]*pb.RequestOp{opPut("a", "1"), then(opPut("a", "2"))}, true},
		{[]*pb.RequestOp{opDel("a", "c"), then(opPut("b", "2"))}, true},
		{[]*pb.RequestOp{opPut("b", "1"), otherwise(opDel("a", "c"))}, true},
		{[]*pb.RequestOp{then(opPut("a", "1")), otherwise(opPut("a", "2"))}, true},
		{[]*pb.RequestOp{opPut("b", "1"), then(then(opPut("b", "1")))}, true},
		{[]*pb.RequestOp{opTxn(&pb.TxnRequest{Success: []*pb.RequestOp{opPut("a", "1")}, Failure: []*pb.RequestOp{opPut("a", "2")}})}, false},
		{[]*pb.RequestOp{opTxn(&pb.TxnRequest{Success: []*pb.RequestOp{opPut("a", "1")}, Failure: []*pb.RequestOp{opDel("a", "z")}})}, false},
	} {
		for _, r := range []*pb.TxnRequest{{Success: tt.ops}, {Failure: tt.ops}} {
			w := newWorld(t)
			_, err := w.Txn(t.Context(), w.any, r)
			switch {
			case tt.refused:
				refused(t, err, translate.ErrDuplicateKey)
			case err != nil:
				t.Errorf("%d: %v", i, err)
			}
			if got := w.node.machine.Revision(); tt.refused && got != 1 {
				t.Errorf("%d: the refused transaction led to revision %d", i, got)
			}
		}
	}
	w := newWorld(t)
	do(t, w, w.Txn, &pb.TxnRequest{Success: []*pb.RequestOp{opPut("a", "1")}, Failure: []*pb.RequestOp{opPut("a", "1")}})
}
