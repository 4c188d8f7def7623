package kv_test

import (
	"fmt"
	"testing"

	"balsa.example/kv"
)

// Every replica makes the result of a transaction, so its size is bounded whatever it asks for.
func TestResultsOfTransactionsAreBounded(t *testing.T) {
	const (
		keys  = 40
		size  = 1 << 20
		bound = 16 << 20
	)
	w := newWorld(t)
	for i := range keys {
		w.DoOp(kv.Op{Kind: kv.Put, Key: fmt.Sprintf("k%02d", i), Value: make([]byte, size), Unconditional: true}, 0)
	}
	all := kv.TxnOp{Range: &kv.RangeOp{Span: kv.Prefix("k")}}
	remove := kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Prefix("k"), Prev: true}}
	for _, tt := range []struct {
		name string
		then []kv.TxnOp
	}{
		{"ranges", []kv.TxnOp{all, all, all}},
		{"previous values", []kv.TxnOp{all, remove}},
	} {
		r, err := w.Txn(&kv.Txn{Then: tt.then}, 0)
		if err != nil || r.Code != kv.CodeOK {
			t.Fatal(r.Code, err)
		}
		bytes := 0
		for i, response := range r.Responses {
			entries, more := []kv.Entry(nil), false
			if response.Range != nil {
				entries, more = response.Range.Entries, response.Range.More
			} else {
				entries, more = response.Delete.Prev, response.Delete.More
				if response.Delete.Deleted != keys {
					t.Errorf("%d keys are deleted", response.Delete.Deleted)
				}
			}
			if !more {
				t.Errorf("%s, operation %d: %d of %d keys, and nothing tells that there are more", tt.name, i, len(entries), keys)
			}
			for _, e := range entries {
				bytes += len(e.Value)
			}
		}
		if most := bound + len(tt.then)*size; bytes > most || bytes < bound/2 {
			t.Errorf("%s: %d bytes, want at most %d", tt.name, bytes, most)
		}
	}
}
