package kv

import "testing"

// What counts of a transaction are the keys that it looks at beside those that it names.
func TestLooks(t *testing.T) {
	s := filledStore(t, 1000)
	all, tenth := Span{}, Prefix("key 001")
	for name, test := range map[string]struct {
		txn  Txn
		want int64
	}{
		"nothing":             {Txn{}, 0},
		"a put":               {Txn{Then: []TxnOp{{Put: &PutOp{Key: "key"}}}}, 0},
		"a compare of a key":  {Txn{If: []Compare{{Span: Single("key 00100"), Target: TargetValue}}}, 0},
		"compares of spans":   {Txn{If: []Compare{{Span: all}, {Span: tenth}, {Span: Span{"z", "a"}}}}, 1100},
		"a compare of values": {Txn{If: []Compare{{Span: tenth, Target: TargetValue}}}, 100 * valueLooks},
		"deletes":             {Txn{Then: []TxnOp{{Delete: &DeleteOp{Span: all}}}, Else: []TxnOp{{Delete: &DeleteOp{Span: tenth}}}}, 1100},
		"a nested one":        {Txn{Then: []TxnOp{{Txn: &Txn{If: []Compare{{Span: all}}, Else: []TxnOp{{Delete: &DeleteOp{Span: tenth}}}}}}}, 1100},
		"a range":             {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all}}}}, scanChunk},
		"a small range":       {Txn{Then: []TxnOp{{Range: &RangeOp{Span: tenth}}}}, 100},
		"a count":             {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all, CountOnly: true}}}}, 0},
		"a count of before":   {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all, CountOnly: true, Revision: 1}}}}, 1000},
		"a sorted range":      {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all, Sort: SortByMod, Limit: 1}}}}, 1000},
		"one by values":       {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all, Sort: SortByValue, Limit: 1}}}}, 1000 * valueLooks},
		"a bounded range":     {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all, MinMod: 1 << 40}}}}, 1000},
	} {
		if got := s.Looks(&test.txn); got != test.want {
			t.Errorf("%s: %d looks, want %d", name, got, test.want)
		}
	}
	reads := Txn{If: make([]Compare, MaxLooks/1000+1)} // each looks at all keys
	if _, err := s.ReadTxn(&reads, 1<<20); err != ErrTooManyLooks {
		t.Errorf("a transaction that reads takes %d looks: %v", s.Looks(&reads), err)
	}
	reads.If = reads.If[:1]
	if _, err := s.ReadTxn(&reads, 1<<20); err != nil {
		t.Error(err)
	}
}
