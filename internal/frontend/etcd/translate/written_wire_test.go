package translate_test

import (
	"testing"

	"pgregory.net/rapid"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
	"balsa.example/state"
)

// numbers are those of fields: of all lengths, and often 0, which is left out.
var numbers = rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64(), rapid.Uint64Range(0, 300))

var entries = rapid.Custom(func(t *rapid.T) kv.Entry {
	return kv.Entry{
		Key: rapid.String().Draw(t, "key"), Value: make([]byte, rapid.SampledFrom([]int{0, 1, 100, 128, 20_000}).Draw(t, "value")),
		Version: numbers.Draw(t, "version"), CreateRevision: numbers.Draw(t, "create"), ModRevision: numbers.Draw(t, "mod"), Lease: int64(numbers.Draw(t, "lease")),
	}
})

func drawTxn(t *rapid.T, depth int) *kv.TxnResult {
	r := &kv.TxnResult{Succeeded: rapid.Bool().Draw(t, "succeeded"), Revision: numbers.Draw(t, "revision")}
	for range rapid.IntRange(0, 4).Draw(t, "operations") {
		r.Responses = append(r.Responses, drawOp(t, depth))
	}
	return r
}

func drawOp(t *rapid.T, depth int) (r kv.OpResult) {
	revision, all := numbers.Draw(t, "revision"), rapid.SliceOfN(entries, 0, 3).Draw(t, "entries")
	switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); {
	case kind == 0:
		r.Range = &kv.RangeResult{Entries: all, Count: int64(numbers.Draw(t, "count")), More: rapid.Bool().Draw(t, "more"), Revision: revision}
	case kind == 1:
		r.Put = &kv.PutResult{Revision: revision}
		if len(all) > 0 {
			r.Put.Prev = &all[0]
		}
	case kind == 2 || depth == 0:
		r.Delete = &kv.DeleteResult{Deleted: int64(numbers.Draw(t, "deleted")), Prev: all, Revision: revision}
	default:
		r.Txn = drawTxn(t, depth-1)
	}
	return r
}

// Responses have the bytes that package proto makes of them, however deep transactions are nested.
func TestResponsesToWritesAreEncodedAsByPackageProto(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := translate.Origin{ClusterID: numbers.Draw(rt, "cluster"), MemberID: numbers.Draw(rt, "member"), Term: numbers.Draw(rt, "term")}
		txn := drawTxn(rt, 4)
		r := &state.Result{Result: kv.Result{Revision: txn.Revision}, Txn: txn}
		m, err := translate.TxnResponse(o, r)
		if err != nil {
			t.Fatal(err)
		}
		wantEncoded(t, m, translate.TxnResponseOf(o.Header(r.Revision), txn))
		if len(txn.Responses) == 0 {
			return
		}
		if put := txn.Responses[0].Put; put != nil {
			m, _ := translate.PutResponse(o, r)
			wantEncoded(t, m, translate.PutResponseOf(o.Header(r.Revision), put))
		}
		if deleted := txn.Responses[0].Delete; deleted != nil {
			m, _ := translate.DeleteResponse(o, r)
			wantEncoded(t, m, translate.DeleteResponseOf(o.Header(r.Revision), deleted))
		}
	})
}

// So have the parts of a stream of a range, with a header or without.
func TestPagesAreEncodedAsByPackageProto(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := translate.Origin{ClusterID: numbers.Draw(rt, "cluster"), MemberID: numbers.Draw(rt, "member"), Term: numbers.Draw(rt, "term")}
		page := translate.NewPage(o, &kv.RangeResult{
			Entries: rapid.SliceOfN(entries, 0, 5).Draw(rt, "entries"), Revision: numbers.Draw(rt, "revision"),
			Count: int64(numbers.Draw(rt, "count")), More: rapid.Bool().Draw(rt, "more"),
		}, rapid.Bool().Draw(rt, "last"))
		wantEncoded(t, page.Message(), translate.PageResponse(page))
	})
}
