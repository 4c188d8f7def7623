package kv_test

import (
	"fmt"
	"strings"
	"testing"

	"balsa.example/kv"
)

// RangeEach yields what Range returns, be the records in memory or in files.
func TestRangeEachYieldsWhatRangeReturns(t *testing.T) {
	const keys = 600 // more than are looked at under one lock
	w := newWorld(t)
	for i := range keys {
		w.do(put(fmt.Sprintf("k%03d", i*7%keys), fmt.Sprint("value ", i), 0))
	}
	old := w.Revision()
	for i := 0; i < keys; i += 5 {
		w.do(put(fmt.Sprintf("k%03d", i), "again", 1))
	}
	w.do(kv.Op{Kind: kv.Delete, Key: "k300", Unconditional: true})
	span := kv.Span{From: "k1", To: "k5"}
	for _, flushed := range []bool{false, true} {
		if flushed {
			w.restart()
		}
		for _, op := range []kv.RangeOp{
			{}, {Span: span}, {Span: kv.Span{From: "k007", To: "k007\x00"}}, {Span: kv.Span{From: "k300", To: "k300\x00"}},
			{Span: span, Revision: old}, {Span: span, Limit: 300}, {Span: span, Limit: 400}, {Span: span, MaxBytes: 1000}, {Span: span, MaxBytes: 4000, Revision: old},
			{Span: span, Descend: true, Limit: 7}, {Span: span, Sort: kv.SortByValue}, {Span: span, Sort: kv.SortByMod, Descend: true, MaxBytes: 500},
			{KeysOnly: true}, {KeysOnly: true, Revision: old}, {CountOnly: true}, {Span: span, MinMod: old}, {Span: span, MinCreate: 50, MaxCreate: 90},
			{Span: span, NoCount: true, Limit: 5}, {Revision: 1 << 40},
		} {
			want, wantErr := w.Range(op)
			var got []kv.Entry
			r, err := w.RangeEach(op, func(e *kv.Entry) {
				own := *e
				own.Key, own.Value = strings.Clone(e.Key), append([]byte(nil), e.Value...)
				got = append(got, own)
			})
			r.Entries = got
			if fmt.Sprint(r, err) != fmt.Sprint(want, wantErr) {
				t.Errorf("%+v, in files %t:\n got %v, %v\nwant %v, %v", op, flushed, r, err, want, wantErr)
			}
			if all := keys - 1; op == (kv.RangeOp{}) && (len(got) != all || r.Count != int64(all)) {
				t.Errorf("%d keys, count %d, want %d", len(got), r.Count, all)
			}
		}
	}
}
