package translate_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/check/naive"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
	"balsa.example/state"
)

var origin = translate.Origin{ClusterID: 1, MemberID: 2, Term: 3}

// started is a machine that has something to read and to change.
func started() *naive.Machine {
	m := naive.New(naive.Limits{})
	for _, key := range []string{"a", "b", "a", "c"} {
		m.DoOp(state.Command{Op: kv.Op{Kind: kv.Put, Key: key, Value: []byte(key), Unconditional: true}})
	}
	return m
}

// executed executes a command as the log carries it. What translate lets through makes sense.
func executed(t *testing.T, m *naive.Machine, c state.Command) state.Result {
	c, err := state.Codec{}.Decode(state.Codec{}.Append(nil, c))
	if err != nil {
		t.Fatal(err)
	}
	r := m.DoOp(c)
	switch r.Code {
	case kv.CodeInvalid, kv.CodeUnknownKind, kv.CodeEmptyKey, kv.CodeDuplicateKey, kv.CodeTooManyOps:
		t.Fatalf("%+v was let through, and gets %v", c, r.Code)
	}
	return r
}

// wantEncoded checks that a message is encoded by hand as package proto does it.
func wantEncoded(t *testing.T, m interface {
	proto.Message
	Bytes() []byte
	Size() int
}, want proto.Message) {
	t.Helper()
	got := m.Bytes()
	if len(got) != m.Size() || len(got) != cap(got) || !bytes.Equal(got, marshaled(t, want)) || !proto.Equal(m, want) {
		t.Fatalf("%x is encoded by hand as %x", marshaled(t, want), got)
	}
}

// wantMost checks what is said to be at least the size of a request. What is not known of one does not count.
func wantMost[M proto.Message](t *testing.T, data []byte, known M, most func(M) int) {
	t.Helper()
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, known); err != nil {
		t.Fatal(err)
	}
	if size := proto.Size(known); most(known) < size {
		t.Fatalf("%v has %d bytes, and at most %d", known, size, most(known))
	}
}

func encoded(t *testing.T, m proto.Message, err error) {
	if err != nil {
		return
	}
	if _, err := proto.Marshal(m); err != nil {
		t.Fatal(err)
	}
}

// marshaled is the wire form of a message, with its fields in their order.
func marshaled(t *testing.T, m proto.Message) []byte {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func seeds(f *testing.F, all ...proto.Message) {
	for _, m := range all {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

func FuzzTranslateRange(f *testing.F) {
	seeds(f,
		&pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("\x00"), Limit: 1, Revision: 3, SortTarget: pb.RangeRequest_MOD, SortOrder: pb.RangeRequest_DESCEND},
		&pb.RangeRequest{Key: []byte("a"), MinModRevision: 2, MaxModRevision: -1, MinCreateRevision: -1, MaxCreateRevision: 9, CountOnly: true})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := new(pb.RangeRequest)
		if proto.Unmarshal(data, r) != nil {
			return
		}
		m := started()
		if op, err := translate.RangeOf(r, kv.Limits{}); err == nil {
			if result, code := m.Range(*op); code == kv.CodeOK {
				want := translate.RangeResponse(origin.Header(result.Revision), &result)
				encoded(t, want, nil)
				m := translate.RangeMessageOf(origin, &result)
				own, shared := m.Wire()
				if got := append(slices.Clone(own), shared[0]...); len(got) != m.Size() || !bytes.Equal(got, marshaled(t, want)) || !proto.Equal(m.Response(), want) {
					t.Fatalf("%x is encoded by hand as %x", marshaled(t, want), got)
				}
			}
		}
		op, err := translate.RangeStreamOf(r, kv.Limits{})
		if err != nil {
			return
		}
		pages := translate.Pages{Op: *op, Bytes: 1, Origin: origin}
		for n := 0; !pages.Done(); n++ {
			if n > 3 {
				t.Fatal("three keys have more than three pages")
			}
			page, err := pages.Next(ranger{m})
			if err != nil {
				return
			}
			wantEncoded(t, page.Message(), translate.PageResponse(page))
		}
	})
}

// ranger reads a naive machine.
type ranger struct{ m *naive.Machine }

func (r ranger) Range(op kv.RangeOp) (kv.RangeResult, error) {
	result, code := r.m.Range(op)
	return result, code.Err()
}

func FuzzTranslatePut(f *testing.F) {
	seeds(f,
		&pb.PutRequest{Key: []byte("a"), Value: []byte("v"), PrevKv: true},
		&pb.PutRequest{Key: []byte("a"), IgnoreLease: true, IgnoreValue: true},
		&pb.PutRequest{Key: []byte("a"), Lease: -1})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := new(pb.PutRequest)
		if proto.Unmarshal(data, r) != nil {
			return
		}
		wantMost(t, data, new(pb.PutRequest), translate.MostOfPut)
		c, err := translate.Put(r, kv.Limits{})
		if err != nil {
			return
		}
		result := executed(t, started(), c)
		resp, err := translate.PutResponse(origin, &result)
		if err != nil {
			return
		}
		put := kv.PutResult{}
		if result.Txn != nil {
			put = *result.Txn.Responses[0].Put
		}
		wantEncoded(t, resp, translate.PutResponseOf(origin.Header(result.Revision), &put))
	})
}

func FuzzTranslateDelete(f *testing.F) {
	seeds(f,
		&pb.DeleteRangeRequest{Key: []byte("a")},
		&pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte("\x00"), PrevKv: true},
		&pb.DeleteRangeRequest{Key: []byte("b"), RangeEnd: []byte("a")})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := new(pb.DeleteRangeRequest)
		if proto.Unmarshal(data, r) != nil {
			return
		}
		wantMost(t, data, new(pb.DeleteRangeRequest), translate.MostOfDelete)
		c, err := translate.Delete(r, kv.Limits{})
		if err != nil {
			return
		}
		result := executed(t, started(), c)
		resp, err := translate.DeleteResponse(origin, &result)
		if err != nil {
			return
		}
		deleted := kv.DeleteResult{}
		switch {
		case result.Txn != nil:
			deleted = *result.Txn.Responses[0].Delete
		case result.Code == kv.CodeOK:
			deleted.Deleted = 1
		}
		wantEncoded(t, resp, translate.DeleteResponseOf(origin.Header(result.Revision), &deleted))
	})
}

func FuzzTranslateTxn(f *testing.F) {
	put := func(key string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), PrevKv: true}}}
	}
	get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("c"), Serializable: true}}}
	del := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("b"), RangeEnd: []byte("\x00")}}}
	compare := &pb.Compare{Key: []byte("a"), RangeEnd: []byte("b"), Target: pb.Compare_MOD, Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_ModRevision{ModRevision: -1}}
	nested := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Compare: []*pb.Compare{compare}, Success: []*pb.RequestOp{put("x")}, Failure: []*pb.RequestOp{put("x")}}}}
	long := &pb.RangeRequest{
		Key: make([]byte, 300), RangeEnd: []byte("\xff"), Limit: -1, Revision: math.MaxInt64, SortOrder: pb.RangeRequest_DESCEND, SortTarget: pb.RangeRequest_VALUE,
		Serializable: true, KeysOnly: true, CountOnly: true, MinModRevision: -1, MaxModRevision: -1, MinCreateRevision: -1, MaxCreateRevision: -1,
	}
	seeds(f,
		&pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: long}}}},
		&pb.TxnRequest{Compare: []*pb.Compare{compare}, Success: []*pb.RequestOp{put("a"), get, del, nested}, Failure: []*pb.RequestOp{get}},
		&pb.TxnRequest{Success: []*pb.RequestOp{get, get}},
		&pb.TxnRequest{Success: []*pb.RequestOp{put("a"), put("a")}})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := new(pb.TxnRequest)
		if proto.Unmarshal(data, r) != nil {
			return
		}
		txn, err := translate.Txn(r, kv.Limits{})
		if err != nil {
			return
		}
		wantMost(t, data, new(pb.TxnRequest), translate.MostOfTxn)
		translate.Serializable(r)
		m := started()
		result := executed(t, m, translate.TxnCommand(txn))
		if result.Txn != nil {
			if enough, err := translate.Whole(txn, result.Txn, ranger{m}, 1<<20); !enough || err != nil {
				t.Fatal("what is small was cut:", err)
			}
		}
		if resp, err := translate.TxnResponse(origin, &result); err == nil {
			wantEncoded(t, resp, translate.TxnResponseOf(origin.Header(result.Revision), result.Txn))
		}
	})
}
