package main

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func opPut(key []byte, value string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: []byte(value)}}}
}

func opRange(req *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: req}}
}

func opGet(key []byte) *pb.RequestOp { return opRange(&pb.RangeRequest{Key: key}) }

func opDelete(key, end []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key, RangeEnd: end, PrevKv: true}}}
}

func opTxn(txn *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: txn}}
}

func ops(all ...*pb.RequestOp) []*pb.RequestOp { return all }

func ifMod(key []byte, is pb.Compare_CompareResult, rev int64) *pb.Compare {
	return &pb.Compare{Key: key, Result: is, Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: rev}}
}

func ifVersion(key []byte, is pb.Compare_CompareResult, v int64) *pb.Compare {
	return &pb.Compare{Key: key, Result: is, Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: v}}
}

func ifCreate(key []byte, is pb.Compare_CompareResult, rev int64) *pb.Compare {
	return &pb.Compare{Key: key, Result: is, Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{CreateRevision: rev}}
}

func ifValue(key []byte, is pb.Compare_CompareResult, value string) *pb.Compare {
	return &pb.Compare{Key: key, Result: is, Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte(value)}}
}

func ifLease(key []byte, is pb.Compare_CompareResult, id int64) *pb.Compare {
	return &pb.Compare{Key: key, Result: is, Target: pb.Compare_LEASE, TargetUnion: &pb.Compare_Lease{Lease: id}}
}

const (
	eq = pb.Compare_EQUAL
	gt = pb.Compare_GREATER
	lt = pb.Compare_LESS
	ne = pb.Compare_NOT_EQUAL
)

var txnChecks = []check{
	{name: "txn/compare", run: func(t *T) {
		a, absent := t.b("a"), t.b("absent")
		t.put("a", "m")
		rev := t.put("a", "m")
		for _, is := range []pb.Compare_CompareResult{eq, gt, lt, ne} {
			for _, c := range []*pb.Compare{
				ifMod(a, is, rev), ifMod(a, is, rev+1), ifMod(absent, is, 0), ifMod(absent, is, 1), ifVersion(a, is, 2), ifVersion(a, is, 1), ifVersion(absent, is, 0),
				ifCreate(a, is, rev-1), ifCreate(a, is, rev), ifCreate(absent, is, 0), ifValue(a, is, "m"), ifValue(a, is, "a"), ifValue(a, is, "z"),
				ifValue(absent, is, ""), ifValue(absent, is, "x"), ifLease(a, is, 0), ifLease(a, is, 1), ifLease(absent, is, 0),
			} {
				t.send(&pb.TxnRequest{Compare: []*pb.Compare{c}})
			}
		}
		t.send(&pb.TxnRequest{})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{{Key: a, Target: pb.Compare_VERSION}}})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{{Key: a, Target: 9}}})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{{Key: a, Result: 9, Target: pb.Compare_VERSION}}})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{{Target: pb.Compare_VERSION}}})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{{Key: a, Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Version{Version: 2}}}})
	}},
	{name: "txn/compare-ranges", run: func(t *T) {
		t.put("a", "1")
		t.put("b", "1")
		t.put("c", "2")
		for _, c := range []*pb.Compare{
			ifValue(t.b("a"), eq, "1"), ifValue(t.b("a"), gt, "0"), ifVersion(t.b("a"), eq, 1), ifVersion(t.b("a"), gt, 0), ifMod(t.b("x"), eq, 0), ifMod(t.b("x"), gt, 0),
			ifValue(t.b("x"), eq, "1"),
		} {
			for _, end := range [][]byte{t.b("c"), t.end(), t.b("a"), {0}} {
				c.RangeEnd = end
				t.send(&pb.TxnRequest{Compare: []*pb.Compare{c}})
			}
		}
	}},
	{name: "txn/branches", run: func(t *T) {
		a, b := t.b("a"), t.b("b")
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{ifVersion(a, eq, 0)}, Success: ops(opPut(a, "1"), opPut(b, "1")), Failure: ops(opGet(a))})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{ifVersion(a, eq, 0)}, Success: ops(opPut(a, "2")), Failure: ops(opGet(a))})
		t.send(&pb.TxnRequest{Success: ops(opGet(a), opPut(a, "3"), opGet(a), opDelete(b, nil), opGet(b))})
		t.send(&pb.TxnRequest{Success: ops(opGet(a), opRange(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), CountOnly: true}))})
		t.send(&pb.TxnRequest{Success: ops(opDelete(t.b("none"), nil))})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{ifVersion(a, gt, 0), ifVersion(b, gt, 0)}, Success: ops(opPut(a, "4"))})
		t.send(&pb.TxnRequest{Success: ops(opDelete(t.b(""), t.end()))})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
	}},
	{name: "txn/ranges-and-puts-of-the-same-keys", run: func(t *T) {
		t.put("a", "1")
		t.put("b", "1")
		all := func() *pb.RequestOp { return opRange(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()}) }
		t.send(&pb.TxnRequest{Success: ops(all(), opPut(t.b("c"), "1"), all(), opDelete(t.b("a"), t.b("c")), all(), opPut(t.b("d"), "1"),
			opRange(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), Limit: 1, SortOrder: pb.RangeRequest_DESCEND, SortTarget: pb.RangeRequest_MOD}))})
		t.send(&pb.TxnRequest{Success: ops(opPut(t.b("e"), "1"), opDelete(t.b("e"), nil))})
		t.send(&pb.TxnRequest{Success: ops(opDelete(t.b("c"), nil), opPut(t.b("c"), "2"))})
		t.send(&pb.TxnRequest{Success: ops(opDelete(t.b("c"), nil), opDelete(t.b("c"), nil), opDelete(t.b(""), t.end()))})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
	}},
	{name: "txn/duplicates", run: func(t *T) {
		a, b := t.b("a"), t.b("b")
		for _, txn := range []*pb.TxnRequest{
			{Success: ops(opPut(a, "1"), opPut(a, "2"))},
			{Success: ops(opPut(a, "1")), Failure: ops(opPut(a, "2"))},
			{Success: ops(opPut(a, "1"), opPut(b, "2"), opDelete(t.b(""), t.end()))},
			{Success: ops(opPut(a, "1"), opDelete(a, []byte{0}))},
			{Success: ops(opPut(a, "1"), opTxn(&pb.TxnRequest{Success: ops(opPut(a, "2"))}))},
			{Success: ops(opPut(a, "1"), opTxn(&pb.TxnRequest{Failure: ops(opPut(a, "2"))}))},
			{Success: ops(opTxn(&pb.TxnRequest{Success: ops(opPut(a, "3")), Failure: ops(opPut(a, "4"))}))},
			{Success: ops(opTxn(&pb.TxnRequest{Success: ops(opPut(a, "3"))}), opTxn(&pb.TxnRequest{Success: ops(opPut(a, "4"))}))},
			{Success: ops(opDelete(a, nil), opTxn(&pb.TxnRequest{Success: ops(opPut(a, "5"))}))},
			{Success: ops(opDelete(a, t.b("c")), opTxn(&pb.TxnRequest{Success: ops(opPut(b, "5"))}))},
			{Success: ops(opTxn(&pb.TxnRequest{Success: ops(opDelete(a, nil))}), opPut(a, "6"))},
			{Success: ops(opPut(a, "7"), opGet(a), opDelete(t.b("x"), t.b("y")))},
		} {
			t.send(txn)
		}
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
	}},
	{name: "txn/nested", run: func(t *T) {
		a, b := t.b("a"), t.b("b")
		t.send(&pb.TxnRequest{Success: ops(opPut(a, "1"), opTxn(&pb.TxnRequest{
			Compare: []*pb.Compare{ifVersion(a, eq, 0)}, Success: ops(opPut(b, "as it was before")), Failure: ops(opPut(b, "as it is now")),
		}), opGet(b))})
		t.send(&pb.TxnRequest{Success: ops(opTxn(&pb.TxnRequest{Success: ops(opTxn(&pb.TxnRequest{
			Compare: []*pb.Compare{ifValue(a, eq, "1")}, Success: ops(opDelete(a, nil), opGet(a)),
		}))}), opGet(a))})
		t.send(&pb.TxnRequest{Success: ops(opTxn(&pb.TxnRequest{}))})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
	}},
	{name: "txn/refused", run: func(t *T) {
		a := t.b("a")
		many := func(n int) (all []*pb.RequestOp) {
			for i := range n {
				all = append(all, opGet(t.b(string(rune('a'+i%26)))))
			}
			return all
		}
		var compares []*pb.Compare
		for range 129 {
			compares = append(compares, ifVersion(a, eq, 0))
		}
		future := int64(1 << 40)
		for _, txn := range []*pb.TxnRequest{
			{Success: many(128)}, {Success: many(129)}, {Failure: many(129)}, {Compare: compares[:128]}, {Compare: compares},
			{Success: ops(opTxn(&pb.TxnRequest{Success: many(129)}))}, {Success: many(100), Failure: many(100)},
			{Success: ops(opPut(nil, "1"))}, {Success: ops(opGet(nil))}, {Success: ops(opDelete(nil, nil))}, {Success: ops(&pb.RequestOp{})},
			{Success: ops(opPut(a, "1"), opRange(&pb.RangeRequest{Key: a, Revision: future}))},
			{Success: ops(opRange(&pb.RangeRequest{Key: a, Revision: -5}))},
			{Success: ops(opPut(a, "1"), opRange(&pb.RangeRequest{Key: a, Revision: 1}))},
			{Failure: ops(opRange(&pb.RangeRequest{Key: a, Revision: future}))},
			{Success: ops(&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: a, Lease: 77}}})},
			{Success: ops(&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: a, IgnoreValue: true}}})},
			{Success: ops(&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: a, IgnoreLease: true}}})},
			{Success: ops(&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: a, Value: []byte("1"), IgnoreValue: true}}})},
			{Success: ops(opPut(t.b("b"), "1"), opPut(a, "1"), &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: t.b("c"), Lease: 77}}})},
			{Success: ops(opRange(&pb.RangeRequest{Key: a, SortOrder: 9}))},
			{Success: ops(opRange(&pb.RangeRequest{Key: a, SortTarget: 9}))},
		} {
			t.send(txn)
		}
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
	}},
	{name: "txn/at-revision", run: func(t *T) {
		first := t.put("a", "1")
		t.put("a", "2")
		at := func(rev int64) *pb.RequestOp { return opRange(&pb.RangeRequest{Key: t.b("a"), Revision: rev}) }
		t.send(&pb.TxnRequest{Success: ops(at(first), at(first+1), at(0))})
		t.send(&pb.TxnRequest{Success: ops(opPut(t.b("a"), "3"), at(first), at(first+1), at(0))})
		t.send(&pb.TxnRequest{Success: ops(opPut(t.b("a"), "4"), at(first+3))})
		t.send(&pb.CompactionRequest{Revision: first + 1})
		t.send(&pb.TxnRequest{Success: ops(at(first))})
		t.send(&pb.TxnRequest{Success: ops(opPut(t.b("a"), "5"), at(first))})
		t.send(&pb.TxnRequest{Success: ops(at(first + 1))})
	}},
	{name: "txn/apiserver", run: func(t *T) {
		// What Kubernetes' apiserver sends: create, update, delete, and its mark of compactions.
		key := t.b("registry/pods/default/p")
		create := &pb.TxnRequest{Compare: []*pb.Compare{ifMod(key, eq, 0)}, Success: ops(opPut(key, "1")), Failure: ops(opGet(key))}
		t.send(create)
		t.send(create)
		got, _ := t.send(&pb.RangeRequest{Key: key}).(*pb.RangeResponse)
		if got == nil || len(got.Kvs) != 1 {
			return
		}
		rev := got.Kvs[0].ModRevision
		update := &pb.TxnRequest{Compare: []*pb.Compare{ifMod(key, eq, rev)}, Success: ops(opPut(key, "2")), Failure: ops(opGet(key))}
		t.send(update)
		t.send(update)
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{ifMod(key, eq, rev)}, Success: ops(opDelete(key, nil)), Failure: ops(opGet(key))})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{ifMod(key, eq, rev+1)}, Success: ops(opDelete(key, nil)), Failure: ops(opGet(key))})
		mark := t.b("compact_rev_key")
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{ifVersion(mark, eq, 0)}, Success: ops(opPut(mark, "0")), Failure: ops(opGet(mark))})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{ifVersion(mark, eq, 0)}, Success: ops(opPut(mark, "0")), Failure: ops(opGet(mark))})
		t.send(&pb.TxnRequest{Compare: []*pb.Compare{ifVersion(mark, eq, 1)}, Success: ops(opPut(mark, "1")), Failure: ops(opGet(mark))})
	}},
}
