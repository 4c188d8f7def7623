package kv

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv/run"
	"balsa.example/vfs"
)

func filledStore(t *testing.T, keys int) *Store {
	t.Helper()
	fs := crashfs.NewMem()
	if err := vfs.MakeDir(fs, "history"); err != nil {
		t.Fatal(err)
	}
	history, err := run.Open(run.Options{FS: fs, Dir: "history"}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := NewStore(history, nil)
	for i := range keys {
		if r := s.DoOp(Op{Kind: Put, Key: fmt.Sprintf("key %05d", (i*7919)%keys), Value: []byte{byte(i)}, Unconditional: true}, 0); r.Code != CodeOK {
			t.Fatal(r.Err())
		}
	}
	return s
}

// However many keys there are, a sorted range with a limit keeps few of them.
func TestRowsThatAreKeptToBeSortedAreBounded(t *testing.T) {
	s := filledStore(t, 3000)
	for _, sort := range []Sort{SortByVersion, SortByCreate, SortByMod, SortByValue} {
		for _, descend := range []bool{false, true} {
			op := &RangeOp{Limit: 5, Sort: sort, Descend: descend}
			g := &gatherer{s: s, op: op, at: s.Revision(), records: s.history.RecordReader()}
			if err := g.gather(); err != nil {
				t.Fatal(err)
			}
			if n := len(g.rows); n > 10 || cap(g.rows) > 32 {
				t.Errorf("sort %d, descending %t: %d rows are kept, with room for %d", sort, descend, n, cap(g.rows))
			}
			some, err := s.Range(*op)
			if err != nil {
				t.Fatal(err)
			}
			op.Limit = 0
			all, err := s.Range(*op)
			if err != nil || len(all.Entries) != 3000 {
				t.Fatalf("%d entries: %v", len(all.Entries), err)
			}
			same := func(a, b Entry) bool { return a.Key == b.Key && a.ModRevision == b.ModRevision }
			if !slices.EqualFunc(some.Entries, all.Entries[:5], same) || !some.More || some.Count != 3000 {
				t.Errorf("sort %d, descending %t: %v of %d", sort, descend, some.Entries, some.Count)
			}
		}
	}
}

// However large the values are, a range that is sorted by them holds few, if it may return few.
func TestValuesThatAreKeptToBeSortedAreBounded(t *testing.T) {
	s, rng := filledStore(t, 300), rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		op := Op{Kind: Put, Key: fmt.Sprintf("key %05d", i), Value: bytes.Repeat([]byte{byte(rng.IntN(8))}, rng.IntN(200)), Unconditional: true}
		if r := s.DoOp(op, 0); r.Code != CodeOK {
			t.Fatal(r.Err())
		}
	}
	same := func(a, b Entry) bool {
		return a.Key == b.Key && a.ModRevision == b.ModRevision && bytes.Equal(a.Value, b.Value)
	}
	for i := range 1000 {
		op := RangeOp{
			Sort: Sort(rng.IntN(5)), Descend: rng.IntN(2) == 0, KeysOnly: rng.IntN(4) == 0,
			Limit: int64(rng.IntN(2) * rng.IntN(400)), LimitFirst: rng.IntN(2) == 0,
		}
		if rng.IntN(3) == 0 {
			op.Revision, op.MinCreate = 301+uint64(rng.IntN(300)), uint64(rng.IntN(200))
		}
		all, err := s.Range(op)
		if err != nil {
			t.Fatal(err)
		}
		want, sum := []Entry(nil), int64(0)
		op.MaxBytes = 1 + int64(rng.IntN(1+rng.IntN(20_000)))
		for j := 0; j < len(all.Entries) && sum < op.MaxBytes; j++ {
			want, sum = append(want, all.Entries[j]), sum+entryBytes(&all.Entries[j])
		}
		got, err := s.Range(op)
		if err != nil || got.Count != all.Count || got.More != (all.More || len(want) < len(all.Entries)) || !slices.EqualFunc(got.Entries, want, same) {
			t.Fatalf("%d: %+v: %d of %d keys, more %t, %v; want %d of %d", i, op, len(got.Entries), got.Count, got.More, err, len(want), all.Count)
		}
		g := &gatherer{s: s, op: &op, at: cmp.Or(op.Revision, s.Revision()), records: s.history.RecordReader(), yield: func(*Entry) {}}
		if err := g.gather(); err != nil {
			t.Fatal(err)
		}
		held, keys := int64(0), int64(0)
		for j := range g.rows {
			held, keys = held+int64(len(g.rows[j].Value)), keys+int64(len(g.rows[j].Key))
		}
		if most := 2*op.MaxBytes + 3*200; keys > most || held > most && !(op.KeysOnly && op.Sort == SortByValue) {
			t.Fatalf("%d: %+v: %d bytes of keys and %d of values are held, want at most %d", i, op, keys, held, most)
		}
	}
}

// Keys that are sorted by values need not hold the values, however many there are.
func TestValuesThatAreOnlySortedByAreBounded(t *testing.T) {
	const keys, size = 1000, 1500
	s, rng := filledStore(t, keys), rand.New(rand.NewPCG(3, 4))
	for i := range keys {
		value := bytes.Repeat([]byte{byte(rng.IntN(3))}, rng.IntN(size)) // many are the same, or begin alike
		for len(value) > 0 && rng.IntN(3) == 0 {
			value[rng.IntN(len(value))]++
		}
		if r := s.DoOp(Op{Kind: Put, Key: fmt.Sprintf("key %05d", i), Value: value, Unconditional: true}, 0); r.Code != CodeOK {
			t.Fatal(r.Err())
		}
	}
	same := func(a, b Entry) bool { return a.Key == b.Key && b.Value == nil }
	for i := range 60 {
		op := RangeOp{Sort: SortByValue, Descend: rng.IntN(2) == 0, LimitFirst: rng.IntN(3) == 0, Limit: int64(rng.IntN(2) * rng.IntN(keys))}
		if rng.IntN(3) == 0 {
			op.Revision = s.Revision() - uint64(rng.IntN(keys))
		}
		s.sortedBytes = sortedBytes
		want, err := s.Range(op)
		if err != nil {
			t.Fatal(err)
		}
		op.KeysOnly = true
		s.sortedBytes = 1 + rng.IntN(50_000)
		got, err := s.Range(op)
		if err != nil || got.Count != want.Count || got.More != want.More || !slices.EqualFunc(want.Entries, got.Entries, same) {
			t.Fatalf("%d: %+v with %d bytes: %d keys, %v; want %d, in another order", i, op, s.sortedBytes, len(got.Entries), err, len(want.Entries))
		}
		g := &gatherer{s: s, op: &op, at: cmp.Or(op.Revision, s.Revision()), records: s.history.RecordReader(), mostHeld: s.sortedBytes}
		if err := g.gather(); err != nil {
			t.Fatal(err)
		}
		held := 0
		for j := range g.rows {
			held += len(g.rows[j].Value)
		}
		if most := max(s.sortedBytes, 2*leastHeld*len(g.rows)); held > most {
			t.Fatalf("%d: %+v: %d bytes of values are held, want at most %d", i, op, held, most)
		}
	}
}

// Values that begin alike are read again as often as parts of them are merged, and not at each comparison.
func TestValuesThatBeginAlikeAreReadAFewTimes(t *testing.T) {
	const keys = 1000
	s, rng := filledStore(t, keys), rand.New(rand.NewPCG(5, 6))
	for i := range keys {
		value := bytes.Repeat([]byte("alike"), 300)
		value = fmt.Append(value, rng.IntN(keys)) // some are the same
		if r := s.DoOp(Op{Kind: Put, Key: fmt.Sprintf("key %05d", i), Value: value, Unconditional: true}, 0); r.Code != CodeOK {
			t.Fatal(r.Err())
		}
	}
	for _, test := range []struct {
		op   RangeOp
		most int // reads of each key
	}{
		{RangeOp{}, 3}, // 46 parts of 22 values, of which 8 are merged at a time, and then the 6
		{RangeOp{Descend: true}, 3},
		{RangeOp{Limit: 100}, 6}, // sorted each time that 100 more are known
		{RangeOp{LimitFirst: true, Limit: 500}, 3},
	} {
		op := test.op
		op.Sort = SortByValue
		s.sortedBytes = sortedBytes
		want, err := s.Range(op)
		if err != nil {
			t.Fatal(err)
		}
		op.KeysOnly = true
		s.sortedBytes = 64 << 10
		var got []string
		g := &gatherer{s: s, op: &op, at: s.Revision(), records: s.history.RecordReader(), mostHeld: s.sortedBytes, yield: func(e *Entry) { got = append(got, e.Key) }}
		if err := cmp.Or(g.gather(), g.sort(), g.emit(g.rows)); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want.Entries, func(key string, e Entry) bool { return key == e.Key }) {
			t.Errorf("%+v: %d keys, want %d, in another order", op, len(got), len(want.Entries))
		}
		if g.readsAgain < len(got) || g.readsAgain > test.most*keys {
			t.Errorf("%+v: %d values of %d were read again, want at most %d", op, g.readsAgain, keys, test.most*keys)
		}
	}
}

// A descending range walks back from its end, and only as far as it has to.
func TestADescendingRangeLooksAtFewKeys(t *testing.T) {
	s := filledStore(t, 3000)
	op := &RangeOp{Span: Span{From: "key 00100", To: "key 02900"}, Limit: 300, Descend: true, NoCount: true}
	var got []string
	g := &gatherer{s: s, op: op, at: s.Revision(), records: s.history.RecordReader(), yield: func(e *Entry) { got = append(got, e.Key) }}
	if err := g.gather(); err != nil {
		t.Fatal(err)
	}
	if g.count > 2*scanChunk || len(g.rows) > 0 || !g.more {
		t.Errorf("it looked at %d keys, keeps %d rows, more %t", g.count, len(g.rows), g.more)
	}
	for i := range 300 {
		if want := fmt.Sprintf("key %05d", 2899-i); i >= len(got) || got[i] != want {
			t.Fatalf("%d keys, at %d not %s", len(got), i, want)
		}
	}
	r, err := s.Range(RangeOp{Span: op.Span, Descend: true})
	if err != nil || r.Count != 2800 || len(r.Entries) != 2800 || r.Entries[2799].Key != "key 00100" || r.More {
		t.Errorf("the whole span: %d of %d keys, %v", len(r.Entries), r.Count, err)
	}
}

// A range that wants few keys looks at one more, in either order.
func TestARangeWithALimitLooksAtFewKeys(t *testing.T) {
	s := filledStore(t, 3000)
	for _, descend := range []bool{false, true} {
		for _, limit := range []int64{1, 100, scanChunk, 700} {
			op := &RangeOp{Span: Span{From: "key 00100", To: "key 02900"}, Limit: limit, Descend: descend, NoCount: true}
			n := int64(0)
			g := &gatherer{s: s, op: op, at: s.Revision(), records: s.history.RecordReader(), yield: func(*Entry) { n++ }}
			if err := g.gather(); err != nil || !g.more || n != limit {
				t.Errorf("limit %d, descending %t: %d keys, more %t: %v", limit, descend, n, g.more, err)
			}
			if g.count != limit+1 {
				t.Errorf("limit %d, descending %t: it looked at %d keys", limit, descend, g.count)
			}
		}
	}
}
