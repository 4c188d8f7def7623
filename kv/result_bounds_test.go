package kv_test

import (
	"fmt"
	"testing"

	"balsa.example/kv"
)

// gathered is what a result of a transaction has of keys and values, and how much it has left out.
type gathered struct{ bytes, cut int }

func (g *gathered) add(r *kv.TxnResult) {
	for _, response := range r.Responses {
		entries, more := []kv.Entry(nil), false
		switch {
		case response.Range != nil:
			entries, more = response.Range.Entries, response.Range.More
		case response.Delete != nil:
			entries, more = response.Delete.Prev, response.Delete.More
		case response.Put != nil:
			if more = response.Put.More; response.Put.Prev != nil {
				entries = append(entries, *response.Put.Prev)
			}
		case response.Txn != nil:
			g.add(response.Txn)
		}
		if more {
			g.cut++
		}
		for _, e := range entries {
			g.bytes += len(e.Key) + len(e.Value)
		}
	}
}

// Every replica makes the result of a transaction, so its size is bounded whatever it asks for.
func TestResultsOfTransactionsAreBounded(t *testing.T) {
	const (
		keys  = 40
		size  = 1 << 20
		bound = 17 << 20
	)
	all := kv.TxnOp{Range: &kv.RangeOp{Span: kv.Prefix("k")}}
	sorted := kv.TxnOp{Range: &kv.RangeOp{Span: kv.Prefix("k"), Sort: kv.SortByValue}}
	remove := kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Prefix("k"), Prev: true}}
	each := func(op func(key string) kv.TxnOp) (ops []kv.TxnOp) {
		for i := range keys {
			ops = append(ops, op(fmt.Sprintf("k%02d", i)))
		}
		return ops
	}
	get := func(key string) kv.TxnOp { return kv.TxnOp{Range: &kv.RangeOp{Span: kv.Single(key), Limit: 1}} }
	put := func(key string) kv.TxnOp { return kv.TxnOp{Put: &kv.PutOp{Key: key, Prev: true}} }
	keep := func(key string) kv.TxnOp {
		return kv.TxnOp{Put: &kv.PutOp{Key: key, Prev: true, IgnoreValue: true, IgnoreLease: true}}
	}
	drop := func(key string) kv.TxnOp { return kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Single(key), Prev: true}} }
	nest := func(op func(key string) kv.TxnOp) func(key string) kv.TxnOp {
		return func(key string) kv.TxnOp { return kv.TxnOp{Txn: &kv.Txn{Then: []kv.TxnOp{op(key)}}} }
	}
	for _, tt := range []struct {
		name string
		then []kv.TxnOp
		cut  int // how many operations tell that something was left out
	}{
		{"ranges", []kv.TxnOp{all, all, sorted}, 3},
		{"a range, and a delete of all", []kv.TxnOp{all, remove}, 2},
		{"gets", each(get), keys - 17},
		{"gets in nested transactions", each(nest(get)), keys - 17},
		{"puts", each(put), keys - 17},
		{"puts in nested transactions", each(nest(put)), keys - 17},
		{"puts that keep the value", each(keep), keys - 17},
		{"deletes", each(drop), keys - 17},
		{"puts, and a range", append(each(put), all), keys - 17 + 1},
		{"as much as has room", []kv.TxnOp{
			{Range: &kv.RangeOp{Span: kv.Prefix("k"), Limit: 16}}, {Range: &kv.RangeOp{Span: kv.Prefix("x")}}, put("k39"), put("x"), get("x1"),
		}, 1}, // the limit
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			for i := range keys {
				w.DoOp(kv.Op{Kind: kv.Put, Key: fmt.Sprintf("k%02d", i), Value: make([]byte, size), Unconditional: true}, 0)
			}
			r, err := w.Txn(&kv.Txn{Then: tt.then}, 0)
			if err != nil || r.Code != kv.CodeOK {
				t.Fatal(r.Code, err)
			}
			var g gathered
			if g.add(&r); g.bytes > bound+size+3 || g.bytes < bound {
				t.Errorf("%d bytes, want %d, and one key more at most", g.bytes, bound)
			}
			if g.cut != tt.cut {
				t.Errorf("%d operations tell that they are cut, want %d", g.cut, tt.cut)
			}
		})
	}
}

// What is beyond the bound is left out of the result alone: the operations are executed, and keys are counted.
func TestWhatHasNoRoomInAResultIsExecuted(t *testing.T) {
	const size = 16 << 20 // the largest value there is
	w := newWorld(t)
	for i := range 5 {
		w.DoOp(kv.Op{Kind: kv.Put, Key: fmt.Sprintf("k%d", i), Value: make([]byte, size), Unconditional: true}, 0)
	}
	single := func(key string) kv.TxnOp { return kv.TxnOp{Range: &kv.RangeOp{Span: kv.Single(key)}} }
	r, err := w.Txn(&kv.Txn{Then: []kv.TxnOp{
		single("k0"), {Put: &kv.PutOp{Key: "k1", Value: []byte("1"), Prev: true}}, // two of the largest values have room
		{Put: &kv.PutOp{Key: "k2", Value: []byte("2"), Prev: true}},
		{Put: &kv.PutOp{Key: "new", Prev: true}},
		{Delete: &kv.DeleteOp{Span: kv.Single("k3"), Prev: true}},
		single("k4"), single("none"),
		{Range: &kv.RangeOp{Span: kv.Prefix("k")}},
		{Range: &kv.RangeOp{Span: kv.Prefix("k"), CountOnly: true}},
		{Range: &kv.RangeOp{Span: kv.Single("k2"), KeysOnly: true}},
	}}, 0)
	if err != nil || r.Code != kv.CodeOK {
		t.Fatal(r.Code, err)
	}
	got := ""
	for _, response := range r.Responses {
		switch {
		case response.Range != nil:
			got += fmt.Sprintf("range %d of %d, more %t\n", len(response.Range.Entries), response.Range.Count, response.Range.More)
		case response.Put != nil:
			got += fmt.Sprintf("put prev %t, more %t\n", response.Put.Prev != nil, response.Put.More)
		case response.Delete != nil:
			got += fmt.Sprintf("delete %d of %d, more %t\n", len(response.Delete.Prev), response.Delete.Deleted, response.Delete.More)
		}
	}
	want := `range 1 of 1, more false
put prev true, more false
put prev false, more true
put prev false, more false
delete 0 of 1, more true
range 0 of 1, more true
range 0 of 0, more false
range 0 of 4, more true
range 0 of 4, more false
range 1 of 1, more false
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for key, want := range map[string]string{"k1": "1", "k2": "2"} {
		if r := w.Get(key); string(r.Value) != want {
			t.Errorf("%s holds %d bytes", key, len(r.Value))
		}
	}
	if r := w.Get("k3"); r.Code != kv.CodeNoKey {
		t.Error("k3 is not deleted")
	}
}

// A transaction that reads alone has a bound as well, also of keys that it names one by one.
func TestReadsOfSingleKeysAreBounded(t *testing.T) {
	w := newWorld(t)
	var ops []kv.TxnOp
	for i := range 3 {
		key := fmt.Sprintf("k%d", i)
		w.DoOp(kv.Op{Kind: kv.Put, Key: key, Value: make([]byte, 1000), Unconditional: true}, 0)
		ops = append(ops, kv.TxnOp{Range: &kv.RangeOp{Span: kv.Single(key)}})
	}
	for _, tt := range []struct {
		bytes int64
		want  error
	}{{999, kv.ErrTooLarge}, {2004, kv.ErrTooLarge}, {2005, nil}, {3006, nil}} {
		if _, err := w.ReadTxn(&kv.Txn{Then: ops}, tt.bytes); err != tt.want {
			t.Errorf("%d bytes: %v, want %v", tt.bytes, err, tt.want)
		}
	}
}
