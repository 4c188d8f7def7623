package kv_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"balsa.example/kv"
)

// TestReadTxnReadsWhatTxnDoes executes random transactions that only read both ways.
func TestReadTxnReadsWhatTxnDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := newWorld(t)
	key := func() string { return fmt.Sprintf("%03d", rng.IntN(400)) }
	for range 900 {
		op := kv.Op{Kind: kv.Put, Key: key(), Value: []byte(key()), Unconditional: true}
		if rng.IntN(4) == 0 {
			op.Kind = kv.Delete
		}
		w.do(op)
	}
	w.Compact(500)
	span := func() kv.Span {
		return []kv.Span{kv.Single(key()), kv.FromKey(key()), {From: key(), To: key()}, {}}[rng.IntN(4)]
	}
	number := func() uint64 { return uint64(rng.IntN(1000)) * uint64(rng.IntN(2)) }
	ranges := func() (ops []kv.TxnOp) {
		for range rng.IntN(3) {
			op := &kv.RangeOp{Span: span(), Limit: []int64{0, 1, 2, math.MaxInt64}[rng.IntN(4)], Sort: kv.Sort(rng.IntN(5)), Descend: rng.IntN(2) == 0, LimitFirst: rng.IntN(3) == 0, MinMod: number()}
			if rng.IntN(3) == 0 {
				op.Revision = uint64(480 + rng.IntN(500))
			}
			ops = append(ops, kv.TxnOp{Range: op})
		}
		return ops
	}
	for i := range 3000 {
		txn := &kv.Txn{Then: ranges(), Else: ranges()}
		for range rng.IntN(3) {
			txn.If = append(txn.If, kv.Compare{
				Span: span(), Target: kv.Target(rng.IntN(5)), Relation: kv.Relation(rng.IntN(4)), Number: number(), Value: []byte(key()),
			})
		}
		want, err := w.Txn(txn, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.ReadTxn(txn, 1<<20)
		if len(want.Responses) == 0 {
			want.Responses = nil
		}
		if err != nil || got.Succeeded != want.Succeeded && want.Code == kv.CodeOK || got.Code != want.Code || !reflect.DeepEqual(got.Responses, want.Responses) {
			t.Fatalf("%d: %+v, %v; want %+v", i, got, err, want)
		}
	}
}

func TestReadTxnIsBounded(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"a", "b", "c"} {
		w.do(put(key, "12345", 0))
	}
	all := kv.TxnOp{Range: &kv.RangeOp{}}
	two := kv.TxnOp{Range: &kv.RangeOp{Limit: 2}}
	for _, tt := range []struct {
		ops   []kv.TxnOp
		bytes int64
		want  error
	}{
		{[]kv.TxnOp{all}, 17, nil}, {[]kv.TxnOp{all}, 12, kv.ErrTooLarge},
		{[]kv.TxnOp{two, two}, 24, nil}, {[]kv.TxnOp{two, two}, 18, kv.ErrTooLarge},
	} {
		if _, err := w.ReadTxn(&kv.Txn{Then: tt.ops}, tt.bytes); !errors.Is(err, tt.want) {
			t.Errorf("%d bytes: %v, want %v", tt.bytes, err, tt.want)
		}
	}
}

func TestReadTxnRefusesToWrite(t *testing.T) {
	w := newWorld(t)
	for _, op := range []kv.TxnOp{{Put: &kv.PutOp{Key: "a"}}, {Delete: &kv.DeleteOp{}}, {Txn: &kv.Txn{}}} {
		for _, txn := range []*kv.Txn{{Then: []kv.TxnOp{op}}, {Else: []kv.TxnOp{op}}} {
			if r, err := w.ReadTxn(txn, 1<<20); r.Code != kv.CodeInvalid || err != nil || txn.ReadsOnly() {
				t.Errorf("%+v: %+v, %v", op, r, err)
			}
		}
	}
}
