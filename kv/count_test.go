package kv_test

import (
	"fmt"
	"testing"

	"balsa.example/kv"
)

// TestCountIsOfTheWholeSpan at the present revision, where the index knows it, and at earlier
// ones, whatever the limit; also within a transaction that changes the keys before it counts.
func TestCountIsOfTheWholeSpan(t *testing.T) {
	s := newWorld(t)
	const keys = 700
	for i := range keys {
		s.DoOp(kv.Op{Kind: kv.Put, Key: fmt.Sprintf("key%03d", i)}, 0)
	}
	full := s.Revision()
	for i := 0; i < keys; i += 10 {
		s.DoOp(kv.Op{Kind: kv.Delete, Key: fmt.Sprintf("key%03d", i), Unconditional: true}, 0)
	}
	span := kv.Span{From: "key100", To: "key400"}
	for _, test := range []struct {
		name string
		op   kv.RangeOp
		want int64
		rows int
		more bool
	}{
		{"all", kv.RangeOp{Span: span}, 270, 270, false},
		{"a page", kv.RangeOp{Span: span, Limit: 5}, 270, 5, true},
		{"a page of all", kv.RangeOp{Span: span, Limit: 270}, 270, 270, false},
		{"a page by bytes", kv.RangeOp{Span: span, MaxBytes: 1}, 270, 1, true},
		{"a page in another order", kv.RangeOp{Span: span, Limit: 5, Descend: true}, 270, 5, true},
		{"a page with a bound", kv.RangeOp{Span: span, Limit: 5, MaxMod: 113}, 270, 5, true},
		{"a page with a bound that nothing is in", kv.RangeOp{Span: span, Limit: 5, MaxMod: 2}, 270, 0, false},
		{"the count", kv.RangeOp{Span: span, CountOnly: true}, 270, 0, false},
		{"the count of no span", kv.RangeOp{Span: kv.Span{From: "z", To: "zz"}, CountOnly: true}, 0, 0, false},
		{"a page before another order", kv.RangeOp{Span: span, Limit: 5, Sort: kv.SortByMod, LimitFirst: true}, 270, 5, true},
		{"all before another order", kv.RangeOp{Span: span, Limit: 270, Sort: kv.SortByMod, LimitFirst: true}, 270, 270, false},
		{"a page of then", kv.RangeOp{Span: span, Limit: 5, Revision: full}, 300, 5, true},
		{"the count of then", kv.RangeOp{Span: span, CountOnly: true, Revision: full}, 300, 0, false},
	} {
		r, err := s.Range(test.op)
		if err != nil || r.Count != test.want || len(r.Entries) != test.rows || r.More != test.more {
			t.Errorf("%s: %d keys, %d rows, more %v, %v; want %d, %d, %v", test.name, r.Count, len(r.Entries), r.More, err, test.want, test.rows, test.more)
		}
	}
	txn := kv.Txn{Then: []kv.TxnOp{
		{Put: &kv.PutOp{Key: "key400"}},
		{Put: &kv.PutOp{Key: "key200"}}, // which was deleted
		{Range: &kv.RangeOp{Span: span, Limit: 5}},
		{Range: &kv.RangeOp{Span: span, CountOnly: true, Revision: full}},
	}}
	r, err := s.Txn(&txn, 0)
	if err != nil || r.Responses[2].Range.Count != 271 || r.Responses[3].Range.Count != 300 {
		t.Errorf("in a transaction: %+v, %v", r, err)
	}
}
