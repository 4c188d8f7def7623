package kv_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"balsa.example/kv"
)

func putOf(key string) kv.TxnOp      { return kv.TxnOp{Put: &kv.PutOp{Key: key}} }
func deleteOf(span kv.Span) kv.TxnOp { return kv.TxnOp{Delete: &kv.DeleteOp{Span: span}} }
func rangeOf(op kv.RangeOp) kv.TxnOp { return kv.TxnOp{Range: &op} }
func txnOf(then, els []kv.TxnOp) kv.TxnOp {
	return kv.TxnOp{Txn: &kv.Txn{Then: then, Else: els}}
}
func list(ops ...kv.TxnOp) []kv.TxnOp { return ops }

func nested(depth int) *kv.Txn {
	t := &kv.Txn{}
	for range depth - 1 {
		t = &kv.Txn{Else: list(kv.TxnOp{Txn: t})}
	}
	return t
}

// TestInvalidTransactionsAreNamed has one thing wrong in each transaction. The error says where.
func TestInvalidTransactionsAreNamed(t *testing.T) {
	limits := kv.Limits{MaxKeyBytes: 4, MaxValueBytes: 3, MaxTxnOps: 2}
	for text, test := range map[string]struct {
		txn  *kv.Txn
		want error
	}{
		"then[1]: key is empty":                            {&kv.Txn{Then: list(putOf("a"), putOf(""))}, kv.ErrEmptyKey},
		"then[0]: key has 5 bytes, the limit is 4":         {&kv.Txn{Then: list(putOf("abcde"))}, kv.ErrTooLarge},
		"else[0]: value has 4 bytes, the limit is 3":       {&kv.Txn{Else: list(kv.TxnOp{Put: &kv.PutOp{Key: "a", Value: []byte("1234")}})}, kv.ErrTooLarge},
		"if[0]: value has 4 bytes, the limit is 3":         {&kv.Txn{If: []kv.Compare{{Value: []byte("1234")}}}, kv.ErrTooLarge},
		"if[1]: target is 5":                               {&kv.Txn{If: []kv.Compare{{}, {Target: 5}}}, kv.ErrInvalid},
		"if[0]: relation is 4":                             {&kv.Txn{If: []kv.Compare{{Relation: 4}}}, kv.ErrInvalid},
		"if[0]: end of a range has 6 bytes":                {&kv.Txn{If: []kv.Compare{{Span: kv.Span{From: "abcdef"}}}}, kv.ErrTooLarge},
		"if has 3 compares, the limit is 2":                {&kv.Txn{If: make([]kv.Compare, 3)}, kv.ErrTooManyOps},
		"then has 3 operations, the limit is 2":            {&kv.Txn{Then: make([]kv.TxnOp, 3)}, kv.ErrTooManyOps},
		"then[0]: else has 3 operations, the limit is 2":   {&kv.Txn{Then: list(txnOf(nil, make([]kv.TxnOp, 3)))}, kv.ErrTooManyOps},
		"then[0]: none of range, put, delete and txn":      {&kv.Txn{Then: make([]kv.TxnOp, 1)}, kv.ErrInvalid},
		"then[0]: more than one of range":                  {&kv.Txn{Then: list(kv.TxnOp{Put: &kv.PutOp{Key: "a"}, Range: &kv.RangeOp{}})}, kv.ErrInvalid},
		"then[0]: ignore value, but there is one":          {&kv.Txn{Then: list(kv.TxnOp{Put: &kv.PutOp{Key: "a", Value: []byte("1"), IgnoreValue: true}})}, kv.ErrInvalid},
		"then[0]: ignore lease, but there is one":          {&kv.Txn{Then: list(kv.TxnOp{Put: &kv.PutOp{Key: "a", Lease: 1, IgnoreLease: true}})}, kv.ErrInvalid},
		"then[0]: limit is -1":                             {&kv.Txn{Then: list(rangeOf(kv.RangeOp{Limit: -1}))}, kv.ErrInvalid},
		"then[0]: max bytes is -1":                         {&kv.Txn{Then: list(rangeOf(kv.RangeOp{MaxBytes: -1}))}, kv.ErrInvalid},
		"then[0]: sort is 5":                               {&kv.Txn{Then: list(rangeOf(kv.RangeOp{Sort: 5}))}, kv.ErrInvalid},
		"then[0]: end of a range has 6 bytes, the limit i": {&kv.Txn{Then: list(deleteOf(kv.Span{To: "abcdef"}))}, kv.ErrTooLarge},
		"transactions are nested more than 8 deep":         {nested(kv.MaxTxnDepth + 1), kv.ErrInvalid},
		`then: key "a": kv: a key is changed twice`:        {&kv.Txn{Then: list(putOf("a"), putOf("a"))}, kv.ErrDuplicateKey},
		`else: key "a": kv: a key is changed twice`:        {&kv.Txn{Else: list(putOf("a"), deleteOf(kv.Prefix("a")))}, kv.ErrDuplicateKey},
	} {
		err := test.txn.Validate(limits)
		if !errors.Is(err, test.want) || !strings.Contains(strings.ReplaceAll(err.Error(), "kv: key is empty", "key is empty"), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	atLimits := &kv.Txn{
		If:   []kv.Compare{{Span: kv.Single("abcd"), Value: []byte("123")}, {Target: kv.TargetLease, Relation: kv.NotEqual}},
		Then: list(putOf("abcd"), rangeOf(kv.RangeOp{Span: kv.Single("abcd"), Sort: kv.SortByValue})),
		Else: list(putOf("abcd"), deleteOf(kv.Span{})),
	}
	atLimits.Else[1].Delete.From = "b"
	for _, txn := range []*kv.Txn{{}, nested(kv.MaxTxnDepth), atLimits} {
		if err := txn.Validate(limits); err != nil {
			t.Errorf("%+v: %v", txn, err)
		}
	}
}

func TestLimitsThatAreZeroAreTheDefaults(t *testing.T) {
	full := &kv.Txn{If: make([]kv.Compare, 128)}
	if err := full.Validate(kv.Limits{}); err != nil {
		t.Error(err)
	}
	full.If = append(full.If, kv.Compare{})
	if err := full.Validate(kv.Limits{}); !errors.Is(err, kv.ErrTooManyOps) {
		t.Error(err)
	}
	if code := full.Check(); code != kv.CodeOK {
		t.Errorf("%v: a replica's own limits must not decide what the store refuses", code)
	}
	if err := (&kv.RangeOp{Sort: 9}).Validate(kv.Limits{}); !errors.Is(err, kv.ErrInvalid) {
		t.Error(err)
	}
}

// leaf is an operation that is no transaction, with the way to it: from each list the number
// of the operation, and which list of the transaction.
type leaf struct {
	op   kv.TxnOp
	path []int // number, list, number, list, ...
}

func leaves(ops []kv.TxnOp, path []int) (all []leaf) {
	for i, op := range ops {
		here := append(path[:len(path):len(path)], i)
		if op.Txn == nil {
			all = append(all, leaf{op, here})
			continue
		}
		all = append(all, leaves(op.Txn.Then, append(here, 0))...)
		all = append(all, leaves(op.Txn.Else, append(here[:len(here):len(here)], 1))...)
	}
	return all
}

// together tells whether both may be executed: they part at different operations, and not at
// the two lists of a transaction.
func together(a, b leaf) bool {
	for i := range min(len(a.path), len(b.path)) {
		if a.path[i] != b.path[i] {
			return i%2 == 0
		}
	}
	return true
}

func clash(a, b kv.TxnOp) bool {
	switch {
	case a.Put != nil && b.Put != nil:
		return a.Put.Key == b.Put.Key
	case a.Put != nil && b.Delete != nil:
		return b.Delete.Contains(a.Put.Key)
	case a.Delete != nil && b.Put != nil:
		return a.Delete.Contains(b.Put.Key)
	}
	return false
}

// duplicates is the rule itself: no two operations that may both be executed change one key, but
// for two deletes.
func duplicates(ops []kv.TxnOp) bool {
	all := leaves(ops, nil)
	for i, a := range all {
		for _, b := range all[:i] {
			if together(a, b) && clash(a.op, b.op) {
				return true
			}
		}
	}
	return false
}

func drawOps(r *rand.Rand, keys []string, depth int) (ops []kv.TxnOp) {
	key := func() string { return keys[r.IntN(len(keys))] }
	for range r.IntN(4) {
		switch kind := r.IntN(10); {
		case kind < 3:
			ops = append(ops, putOf(key()))
		case kind < 5:
			spans := []kv.Span{kv.Single(key()), kv.Prefix(key()), kv.FromKey(key()), {From: key(), To: key()}}
			ops = append(ops, deleteOf(spans[r.IntN(len(spans))]))
		case kind < 6:
			ops = append(ops, rangeOf(kv.RangeOp{}))
		case depth > 0:
			ops = append(ops, txnOf(drawOps(r, keys, depth-1), drawOps(r, keys, depth-1)))
		}
	}
	return ops
}

// TestDuplicatesAreThoseOfTheNaiveRule draws from many keys as well as from few, so that both
// verdicts are frequent.
func TestDuplicatesAreThoseOfTheNaiveRule(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	few := []string{"a", "b", "ab", "\x00"}
	var many []string
	for c := 'a'; c <= 'z'; c++ {
		many = append(many, string(c), string(c)+string(c))
	}
	verdicts := map[bool]int{}
	for i := range 30_000 {
		keys := few
		if i%2 == 0 {
			keys = many
		}
		txn := &kv.Txn{Then: drawOps(r, keys, 3), Else: drawOps(r, keys, 1)}
		want := kv.CodeOK
		if duplicates(txn.Then) || duplicates(txn.Else) {
			want = kv.CodeDuplicateKey
		}
		if code := txn.Check(); code != want {
			text, _ := json.Marshal(txn)
			t.Fatalf("%v, want %v: %s", code, want, text)
		}
		verdicts[want == kv.CodeOK]++
	}
	if verdicts[true] < 5000 || verdicts[false] < 5000 {
		t.Errorf("verdicts are %v: not much of a test", verdicts)
	}
}

// TestDeleteBehindTwoOfAnotherOperation: the two deletes of the nested transaction go further
// than that of the outer list, which is the one that overlaps.
func TestDeleteBehindTwoOfAnotherOperation(t *testing.T) {
	inner := txnOf(list(putOf("bb")), list(deleteOf(kv.Span{From: "a", To: "d"}), deleteOf(kv.Span{From: "b", To: "e"})))
	txn := &kv.Txn{Then: list(deleteOf(kv.Span{From: "a", To: "c"}), inner)}
	if code := txn.Check(); code != kv.CodeDuplicateKey {
		t.Error(code)
	}
}

// TestDuplicatesAreFoundInTime has as many puts and deletes as fit into a large request.
func TestDuplicatesAreFoundInTime(t *testing.T) {
	const n = 100_000
	ops := make([]kv.TxnOp, n)
	keys := make([]kv.TxnOp, n)
	for i := range n {
		key := string([]byte{byte(i >> 16), byte(i >> 8), byte(i)})
		ops[i] = deleteOf(kv.Single("d" + key))
		keys[i] = putOf("p" + key)
	}
	txn := &kv.Txn{Then: append(ops, txnOf(keys, nil))}
	if code := txn.Check(); code != kv.CodeOK {
		t.Error(code)
	}
}
