package state_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/state"
)

// TestTheHighestNumberIsALimit as any other. A range that does not end would stop every replica, if it stands in a
// transaction, and again at each start.
func TestTheHighestNumberIsALimit(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	for i := range 300 { // more than are looked at under one lock
		m.DoOp(set(keyOf(i), ""))
	}
	for _, op := range []kv.RangeOp{
		{}, {Descend: true}, {KeysOnly: true}, {CountOnly: true}, {NoCount: true}, {MinMod: 9}, {Revision: 200}, {MaxBytes: 100},
		{Sort: kv.SortByMod}, {Sort: kv.SortByMod, LimitFirst: true}, {Span: kv.Prefix("key 1")}, {Span: kv.Single("key 001")},
	} {
		all := op
		op.Limit = math.MaxInt64
		if op.MaxBytes == 0 {
			op.MaxBytes = math.MaxInt64
		}
		done := make(chan bool)
		go func() {
			defer close(done)
			want, _ := m.Range(all)
			got, err := m.Range(op)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v: %d of %d keys, %v", op, len(got.Entries), len(want.Entries), err)
			}
			r := m.DoOp(state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{{Range: &op}}}}})
			if r.Code != kv.CodeOK || !reflect.DeepEqual(*r.Txn.Responses[0].Range, want) {
				t.Errorf("%+v in a transaction: %v", op, r.Err())
			}
		}()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatalf("%+v does not end", op)
		}
	}
}
