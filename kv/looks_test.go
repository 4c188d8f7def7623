package kv

import (
	"fmt"
	"testing"
)

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
		"a compare of values": {Txn{If: []Compare{{Span: tenth, Target: TargetValue}}}, 100 * recordLooks},
		"deletes":             {Txn{Then: []TxnOp{{Delete: &DeleteOp{Span: all}}}, Else: []TxnOp{{Delete: &DeleteOp{Span: tenth}}}}, 1100},
		"a nested one":        {Txn{Then: []TxnOp{{Txn: &Txn{If: []Compare{{Span: all}}, Else: []TxnOp{{Delete: &DeleteOp{Span: tenth}}}}}}}, 1100},
		"a range":             {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all}}}}, scanChunk},
		"a small range":       {Txn{Then: []TxnOp{{Range: &RangeOp{Span: tenth}}}}, 100},
		"a count":             {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all, CountOnly: true}}}}, 0},
		"a count of before":   {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all, CountOnly: true, Revision: 1}}}}, 1000},
		"a sorted range":      {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all, Sort: SortByMod, Limit: 1}}}}, 1000},
		"one by values":       {Txn{Then: []TxnOp{{Range: &RangeOp{Span: all, Sort: SortByValue, Limit: 1}}}}, 1000 * recordLooks},
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

// What counts are also keys that are deleted, and not purged yet, and at an old revision the older versions of all. What
// a look costs is that of the record where one is read.
func TestLooksAtWhatWas(t *testing.T) {
	s := filledStore(t, 1000)
	before := s.Revision()
	all, gone, changed := Span{}, Prefix("key 001"), Prefix("key 003")
	for i := range 100 {
		for _, op := range []Op{{Kind: Delete, Key: fmt.Sprintf("key 001%02d", i)}, {Kind: Put, Key: fmt.Sprintf("key 003%02d", i)}} {
			op.Unconditional = true
			s.DoOp(op, 0)
		}
	}
	const older, reads = 200, recordLooks - 1
	for name, test := range map[string]struct {
		op   TxnOp
		want int64
	}{
		"a delete of deleted keys": {TxnOp{Delete: &DeleteOp{Span: gone}}, 100},
		"compares of deleted keys": {TxnOp{Txn: &Txn{If: []Compare{{Span: gone}, {Span: gone, Target: TargetValue}}}}, 200},
		"a compare of all values":  {TxnOp{Txn: &Txn{If: []Compare{{Span: all, Target: TargetValue}}}}, 1000 + 900*reads},
		"a range of deleted keys":  {TxnOp{Range: &RangeOp{Span: gone}}, 100},
		"a range":                  {TxnOp{Range: &RangeOp{Span: all}}, scanChunk + 100},
		"a count":                  {TxnOp{Range: &RangeOp{Span: all, CountOnly: true}}, 0},
		"a sorted range":           {TxnOp{Range: &RangeOp{Span: all, Sort: SortByCreate}}, 1000},
		"a bounded one by values":  {TxnOp{Range: &RangeOp{Span: all, Sort: SortByValue, MinMod: 1}}, 1000 + 900*reads},
		"of before: a range":       {TxnOp{Range: &RangeOp{Span: gone, Revision: before}}, 100 + older},
		"of before: few keys":      {TxnOp{Range: &RangeOp{Span: Span{"key 00100", "key 001000"}, Revision: before}}, 1 + olderLooks},
		"a count of before":        {TxnOp{Range: &RangeOp{Span: all, Revision: before, CountOnly: true, Sort: SortByValue}}, 1000 + older},
		"of before: by values":     {TxnOp{Range: &RangeOp{Span: gone, Revision: before, Sort: SortByValue}}, 100 + older + 100*reads},
		"of before: by create":     {TxnOp{Range: &RangeOp{Span: changed, Revision: before, Sort: SortByCreate}}, 100 + older + 100*reads},
		"of before: by version":    {TxnOp{Range: &RangeOp{Span: changed, Revision: before, Sort: SortByVersion}}, 100 + older + 100*reads},
		"of before: by mod":        {TxnOp{Range: &RangeOp{Span: changed, Revision: before, Sort: SortByMod}}, 100 + older},
		"of before: MinCreate":     {TxnOp{Range: &RangeOp{Span: changed, Revision: before, MinCreate: 1}}, 100 + older + 100*reads},
		"of before: MaxCreate":     {TxnOp{Range: &RangeOp{Span: changed, Revision: before, MaxCreate: 1}}, 100 + older + 100*reads},
		"of before: keys":          {TxnOp{Range: &RangeOp{Span: changed, Revision: before, KeysOnly: true}}, 100 + older + 100*reads},
		"of before: all keys":      {TxnOp{Range: &RangeOp{Span: all, Revision: before, KeysOnly: true}}, 1000 + older + older*reads},
		"of before: a few keys":    {TxnOp{Range: &RangeOp{Span: changed, Revision: before, KeysOnly: true, Limit: 5}}, 100 + older + 5*reads},
	} {
		if got := s.Looks(&Txn{Then: []TxnOp{test.op}}); got != test.want {
			t.Errorf("%s: %d looks, want %d", name, got, test.want)
		}
	}
}

// No key is found without an index, and it is known how many there are.
func TestAStoreWithoutAnIndex(t *testing.T) {
	s := filledStore(t, 1000)
	s.FreeIndex()
	if r := s.Get("key 00100"); r.Code != CodeNoKey || s.Figures().Keys != 1000 {
		t.Errorf("a key is found: %v", r)
	}
}
