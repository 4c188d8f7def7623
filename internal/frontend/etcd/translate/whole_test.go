package translate_test

import (
	"fmt"
	"testing"

	"balsa.example/internal/check/naive"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
	"balsa.example/state"
)

// All that is read again has one bound together, with what the result has already, also if some was read with a
// smaller bound before.
func TestWhatIsReadAgainIsBoundedTogether(t *testing.T) {
	m := naive.New(naive.Limits{})
	txn := new(kv.Txn)
	for i := range 10 {
		key := fmt.Sprint(i)
		m.DoOp(state.Command{Op: kv.Op{Kind: kv.Put, Key: key, Value: make([]byte, 999), Unconditional: true}})
		switch i % 3 {
		case 0:
			txn.Then = append(txn.Then, kv.TxnOp{Put: &kv.PutOp{Key: key, Prev: true}})
		case 1:
			txn.Then = append(txn.Then, kv.TxnOp{Range: &kv.RangeOp{Span: kv.Single(key)}})
		case 2:
			txn.Then = append(txn.Then, kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Single(key), Prev: true}})
		}
	}
	result := m.DoOp(translate.TxnCommand(txn)).Txn
	for _, r := range result.Responses[1:] { // the first alone has room
		switch {
		case r.Put != nil:
			r.Put.Prev, r.Put.More = nil, true
		case r.Range != nil:
			r.Range.Entries, r.Range.More = nil, true
		case r.Delete != nil:
			r.Delete.Prev, r.Delete.More = nil, true
		}
	}
	for _, tt := range []struct {
		bytes int64
		whole int // how many operations
	}{{1000, 1}, {1001, 2}, {5000, 5}, {9000, 9}, {9001, 10}} {
		enough, err := translate.Whole(txn, result, ranger{m}, tt.bytes)
		if enough != (tt.whole == 10) || err != nil {
			t.Errorf("%d bytes: enough %t, %v", tt.bytes, enough, err)
		}
		whole := 0
		for _, r := range result.Responses {
			if r.Put != nil && r.Put.Prev != nil || r.Range != nil && len(r.Range.Entries) == 1 || r.Delete != nil && len(r.Delete.Prev) == 1 {
				whole++
			}
		}
		if whole != tt.whole {
			t.Errorf("%d bytes: %d operations are whole, want %d", tt.bytes, whole, tt.whole)
		}
	}
}

func TestWhatAPutReplacedMayBeCompacted(t *testing.T) {
	m := started()
	txn := &kv.Txn{Then: []kv.TxnOp{{Put: &kv.PutOp{Key: "a", Prev: true}}}}
	result := m.DoOp(translate.TxnCommand(txn)).Txn
	result.Responses[0].Put.Prev, result.Responses[0].Put.More = nil, true
	m.DoOp(state.Command{More: &state.More{Kind: state.KindCompact, Revision: result.Revision}})
	if _, err := translate.Whole(txn, result, ranger{m}, 1<<20); err != translate.ErrTxnCut {
		t.Error(err)
	}
}
