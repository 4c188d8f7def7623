package kv_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"balsa.example/kv"
)

// TestARangeIsOfTheRevisionThatItNames changes keys while they are read. A watch from the next revision on
// then misses nothing: the range has no row of later, and no revision beyond its rows.
func TestARangeIsOfTheRevisionThatItNames(t *testing.T) {
	const keys = 600 // more than are looked at under one lock
	s := newWorld(t)
	key := func(i int) string { return fmt.Sprintf("k%03d", i) }
	for i := range keys {
		s.do(put(key(i), "early", 0))
	}
	begin := s.Revision()
	for _, op := range []kv.RangeOp{{}, {Descend: true}, {Sort: kv.SortByMod}, {Limit: keys - 1}, {KeysOnly: true}, {Revision: begin - 1}, {MinMod: 2}} {
		now, read := s.Revision(), 0
		r, err := s.RangeEach(op, func(e *kv.Entry) {
			if read++; read == 1 {
				for i := range keys {
					s.do(anyVersion(put(key(i), "late", 0)))
				}
				s.do(put(fmt.Sprint("l", s.Revision()), "late", 0))
			}
			if e.ModRevision > now {
				t.Errorf("%+v: %s is of revision %d, the range began at %d", op, e.Key, e.ModRevision, now)
			}
		})
		if err != nil || r.Revision != now || read < keys-1 {
			t.Errorf("%+v: %d keys at revision %d, want %d: %v", op, read, r.Revision, now, err)
		}
	}
}

// hanging are leases that call at each change of a key that hangs on one, in the midst of the command.
type hanging struct{ changed func() }

func (h *hanging) Room(int64) (int, error)    { return 100, nil }
func (h *hanging) Attach(int64, string) error { h.changed(); return nil }
func (h *hanging) Detach(int64, string)       { h.changed() }

// TestATransactionIsSeenAsAWhole reads between the changes of one revision: readers see none of them, or all.
func TestATransactionIsSeenAsAWhole(t *testing.T) {
	w := newWorld(t)
	leases := &hanging{func() {}}
	w.Store = kv.NewStore(w.history, leases)
	all := map[uint64]string{} // what a range reads at each revision
	state := func(op kv.RangeOp) (revision uint64, text string) {
		r, err := w.Range(op)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, e := range r.Entries {
			fmt.Fprintf(&b, "%s=%s ", e.Key, e.Value)
		}
		return r.Revision, fmt.Sprint(b.String(), r.Count)
	}
	between := map[uint64][]string{}
	leases.changed = func() {
		revision, text := state(kv.RangeOp{})
		if r := w.Get("c"); r.Revision != revision || strings.Contains(text, "c=") != (r.Code == kv.CodeOK) {
			t.Errorf("key c is %+v, and all of revision %d is %s", r, revision, text)
		}
		between[revision] = append(between[revision], text)
	}
	txn := func(ops ...kv.TxnOp) {
		if r, err := w.Txn(&kv.Txn{Then: ops}, 0); err != nil || r.Code != kv.CodeOK {
			t.Fatal(err, r.Code)
		}
		revision, text := state(kv.RangeOp{})
		all[revision] = text
	}
	on := func(key, value string) kv.TxnOp {
		return kv.TxnOp{Put: &kv.PutOp{Key: key, Value: []byte(value), Lease: 1}}
	}
	all[1] = "0"
	txn(on("a", "1"), on("b", "1"), on("c", "1"))
	txn(on("d", "2"), kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Span{From: "b", To: "d"}}})
	txn(on("b", "3"), kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Single("a")}}, on("c", "3"))
	for revision, texts := range between {
		if slices.ContainsFunc(texts, func(text string) bool { return text != all[revision] }) {
			t.Errorf("at revision %d readers see %q, want %q", revision, texts, all[revision])
		}
	}
	if len(between) < 4 {
		t.Errorf("nothing is read at most revisions: %v", between)
	}
}

// TestKeysAreReadWithoutTheDisk: to count keys, and to list them without their values, costs no read of a
// file, however large the values are.
func TestKeysAreReadWithoutTheDisk(t *testing.T) {
	s := newWorld(t)
	for i := range 100 {
		s.do(put(fmt.Sprint("k", i), strings.Repeat("x", 100), 0))
	}
	s.restart()
	if err := s.history.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Range(kv.RangeOp{}); err == nil {
		t.Fatal("values are read of files that are closed")
	}
	for _, op := range []kv.RangeOp{
		{KeysOnly: true}, {CountOnly: true}, {KeysOnly: true, Limit: 3}, {KeysOnly: true, Sort: kv.SortByCreate}, {KeysOnly: true, MinCreate: 3},
		{KeysOnly: true, Span: kv.Single("k1")},
	} {
		if r, err := s.Range(op); err != nil || r.Count == 0 {
			t.Errorf("%+v: %d keys, %v", op, r.Count, err)
		}
	}
}
