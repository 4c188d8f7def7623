package kv

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"balsa.example/kv/run"
)

// keeping is a list of n puts that keep the value of their key.
func keeping(first, n int) (ops []TxnOp) {
	for i := range n {
		ops = append(ops, TxnOp{Put: &PutOp{Key: fmt.Sprintf("key %05d", first+i), IgnoreValue: true}})
	}
	return ops
}

// A transaction of a few KiB must not have gigabytes written anew. What is proposed has a bound, whoever translates it.
func TestPutsThatKeepTheirValueAreBounded(t *testing.T) {
	nested := func(first, n int) TxnOp {
		return TxnOp{Txn: &Txn{Then: keeping(first, n), Else: keeping(first, n)}}
	}
	for _, test := range []struct {
		name   string
		txn    *Txn
		limits Limits
		want   error
	}{
		{"as many as a list may have", &Txn{Then: keeping(0, 128), Else: keeping(0, 128)}, Limits{}, nil},
		{"as many as there may be", &Txn{Then: keeping(0, 170), Else: keeping(0, 170)}, Limits{MaxTxnOps: 1000}, nil},
		{"one more", &Txn{Else: keeping(0, 171)}, Limits{MaxTxnOps: 1000}, ErrTooLarge},
		{"of smaller values", &Txn{Else: keeping(0, 171)}, Limits{MaxTxnOps: 1000, MaxValueBytes: 1 << 20}, nil},
		{"nested", &Txn{Then: []TxnOp{nested(0, 85), nested(85, 85)}}, Limits{}, nil},
		{"nested, one more", &Txn{Then: []TxnOp{nested(0, 85), nested(85, 86)}}, Limits{}, ErrTooLarge},
		{"small ones, where values may be large", &Txn{Then: keeping(0, 26)}, Limits{MaxValueBytes: 10 << 20}, ErrTooLarge},
		{"one of values larger than the bound", &Txn{Then: keeping(0, 1)}, Limits{MaxValueBytes: 1 << 30}, nil},
	} {
		if err := test.txn.Validate(test.limits); !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), "each counts as a value of") {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if code := test.txn.Check(); code != CodeOK {
			t.Errorf("%s: a log that has it: %v", test.name, code)
		}
	}
}

// What is in the log is executed, however much it is, but for what no replica can execute.
func TestPutsThatNoRunCanHoldAreRefusedWhereTheyAreExecuted(t *testing.T) {
	s := filledStore(t, 200)
	if r, err := s.Txn(&Txn{Then: keeping(0, 200)}, 0); err != nil || r.Code != CodeOK {
		t.Error(r.Code, err)
	}
	before := s.Revision()
	p := planner{s: s, keptBytes: run.MaxRunBytes - 1}
	large := Op{Kind: Put, Key: "key 00000", Value: make([]byte, recordNumbers+1), Unconditional: true}
	for _, test := range []struct {
		ops  int
		want Code
	}{{1, CodeOK}, {1, CodeTooLarge}} {
		_, code, err := p.plan(&Txn{Then: keeping(0, test.ops)})
		if err != nil || code != CodeOK {
			t.Fatal(code, err)
		}
		if code, err := p.readKept(); err != nil || code != test.want {
			t.Errorf("%d bytes: %v, %v, want %v", p.keptBytes, code, err, test.want)
		}
		s.DoOp(large, 0)
	}
	if now := s.Revision(); now != before+2 {
		t.Errorf("at revision %d, want %d", now, before+2)
	}
}

// A revision has to fit into one run, and the keys of a lease may be more than that. They go in several, each of which is
// as large as it may be.
func TestKeysThatDoNotFitIntoOneRevisionTakeSeveral(t *testing.T) {
	for _, test := range []struct{ together, revisions int64 }{{100, 1}, {99, 2}, {50, 2}, {34, 3}, {33, 4}, {1, 100}} {
		s := filledStore(t, 101)
		s.deleteKeysBytes = test.together * (deleteOverhead + 9)
		keys := []string{"key that is not there"}
		for i := range 100 {
			keys = append(keys, fmt.Sprintf("key %05d", i))
		}
		before := s.Revision()
		if n := s.DeleteKeys(keys, 0); n != 100 || s.Figures().Keys != 1 {
			t.Errorf("%d keys together: %d are gone, %d are left", test.together, n, s.Figures().Keys)
		}
		if n := s.Revision() - before; n != uint64(test.revisions) {
			t.Errorf("%d keys together: %d revisions, want %d", test.together, n, test.revisions)
		}
		runs, _, err := s.history.Flush(t.Context(), s.history.Mark(), nil)
		if err != nil || runs[len(runs)-1].Last != s.Revision() {
			t.Errorf("%d keys together: %d runs are durable: %v", test.together, len(runs), err)
		}
	}
}

// A revision has to fit into one run, so what a transaction deletes has a bound: in the log, since nobody knows before how
// many keys a span will have.
func TestWhatATransactionDeletesIsBounded(t *testing.T) {
	s := filledStore(t, 100)
	for _, test := range []struct {
		bytes int64
		want  Code
	}{{0, CodeOK}, {maxDeleteBytes - 100*(deleteOverhead+9), CodeOK}, {maxDeleteBytes - 99*(deleteOverhead+9), CodeTooLarge}} {
		p := planner{s: s, bytes: test.bytes}
		if _, code, err := p.plan(&Txn{Then: []TxnOp{{Delete: &DeleteOp{Span: Prefix("key")}}}}); err != nil || code != test.want {
			t.Errorf("%d bytes before: %v, %v, want %v", test.bytes, code, err, test.want)
		}
	}
}
