package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"balsa.example/kv"
	"balsa.example/rsm"
)

var _ rsm.Codec[kv.Op] = kv.Codec{}

func get(key string) kv.Op { return kv.Op{Kind: kv.Get, Key: key} }

func put(key, value string, version uint64) kv.Op {
	return kv.Op{Kind: kv.Put, Key: key, Value: []byte(value), Version: version}
}

func del(key string, version uint64) kv.Op {
	return kv.Op{Kind: kv.Delete, Key: key, Version: version}
}

func anyVersion(op kv.Op) kv.Op {
	op.Unconditional = true
	return op
}

func since(op kv.Op, revision uint64) kv.Op {
	op.UnchangedSince = revision
	return op
}

func first(op kv.Op, revision uint64) kv.Op {
	op.Attempt = kv.FirstAttempt
	return since(op, revision)
}

func resend(op kv.Op, revision uint64) kv.Op {
	op.Attempt = kv.Resend
	return since(op, revision)
}

// equal compares results. A nil value and an empty one are equal.
func equal(a, b kv.Result) bool {
	if !bytes.Equal(a.Value, b.Value) {
		return false
	}
	a.Value, b.Value = nil, nil
	return a.Code == b.Code && a.Version == b.Version && a.CreateRevision == b.CreateRevision &&
		a.ModRevision == b.ModRevision && a.Revision == b.Revision && a.DeleteRevision == b.DeleteRevision
}

// Operations before those of doOpTests.
var (
	twice     = []kv.Op{put("k", "one", 0), put("k", "two", 1)} // k is at version 2, the store at 3
	gone      = append(slices.Clip(twice), del("k", 2))         // k is gone, the store is at 4
	backAgain = append(slices.Clip(gone), put("k", "v", 0))     // k is at version 1, the store at 5
	resent    = []kv.Op{put("k", "one", 0), resend(put("k", "two", 1), 2)}
)

// doOpTests are operations, the operations before them, and their results.
var doOpTests = []struct {
	name   string
	before []kv.Op
	op     kv.Op
	want   kv.Result
}{
	{"get of an absent key is refused", nil, get("k"),
		kv.Result{Code: kv.CodeNoKey, Revision: 1}},
	{"get finds the value and all revisions", twice, get("k"),
		kv.Result{Value: []byte("two"), Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"get ignores a version", twice, kv.Op{Kind: kv.Get, Key: "k", Version: 9},
		kv.Result{Value: []byte("two"), Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"put at version 0 creates an absent key", nil, put("k", "v", 0),
		kv.Result{Version: 1, CreateRevision: 2, ModRevision: 2, Revision: 2}},
	{"put of no value creates a key all the same", nil, put("k", "", 0),
		kv.Result{Version: 1, CreateRevision: 2, ModRevision: 2, Revision: 2}},
	{"put at the key's version replaces and adds one", twice, put("k", "v", 2),
		kv.Result{Version: 3, CreateRevision: 2, ModRevision: 4, Revision: 4}},
	{"put at version 0 of a present key is refused with its version", twice, put("k", "v", 0),
		kv.Result{Code: kv.CodeVersion, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"put at an older version is refused", twice, put("k", "v", 1),
		kv.Result{Code: kv.CodeVersion, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"put at a later version is refused", twice, put("k", "v", 3),
		kv.Result{Code: kv.CodeVersion, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"put above version 0 of an absent key is refused", twice, put("j", "v", 1),
		kv.Result{Code: kv.CodeNoKey, Revision: 3}},
	{"unconditional put creates", nil, anyVersion(put("k", "v", 7)),
		kv.Result{Version: 1, CreateRevision: 2, ModRevision: 2, Revision: 2}},
	{"unconditional put replaces any version", twice, anyVersion(put("k", "v", 7)),
		kv.Result{Version: 3, CreateRevision: 2, ModRevision: 4, Revision: 4}},
	{"delete at the key's version removes it", twice, del("k", 2),
		kv.Result{Revision: 4}},
	{"delete at another version is refused with the key's", twice, del("k", 1),
		kv.Result{Code: kv.CodeVersion, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"delete at version 0 of a present key is refused", twice, del("k", 0),
		kv.Result{Code: kv.CodeVersion, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"delete of an absent key is refused", twice, del("j", 0),
		kv.Result{Code: kv.CodeNoKey, Revision: 3}},
	{"unconditional delete removes any version", twice, anyVersion(del("k", 7)),
		kv.Result{Revision: 4}},
	{"unconditional delete of an absent key is refused", twice, anyVersion(del("j", 0)),
		kv.Result{Code: kv.CodeNoKey, Revision: 3}},
	{"a key that comes back starts again at version 1", append(twice, del("k", 2)), put("k", "v", 0),
		kv.Result{Version: 1, CreateRevision: 5, ModRevision: 5, Revision: 5}},
	{"a key that comes back does not take its old version", append(twice, del("k", 2)), put("k", "v", 2),
		kv.Result{Code: kv.CodeNoKey, Revision: 4, DeleteRevision: 4}},
	{"put of a key unchanged since is executed", twice, since(put("k", "v", 2), 3),
		kv.Result{Version: 3, CreateRevision: 2, ModRevision: 4, Revision: 4}},
	{"put of a key changed since is refused", twice, since(put("k", "v", 2), 2),
		kv.Result{Code: kv.CodeChanged, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"put of a key changed since, and at another version, is refused for that", twice, since(put("k", "v", 1), 2),
		kv.Result{Code: kv.CodeVersion, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"put of a key that came back is refused", backAgain, since(put("k", "v", 1), 4),
		kv.Result{Code: kv.CodeChanged, Version: 1, CreateRevision: 5, ModRevision: 5, Revision: 5, DeleteRevision: 4}},
	{"delete of a key that came back is refused", backAgain, since(del("k", 1), 4),
		kv.Result{Code: kv.CodeChanged, Version: 1, CreateRevision: 5, ModRevision: 5, Revision: 5, DeleteRevision: 4}},
	{"delete of a key unchanged since is executed", twice, since(del("k", 2), 3),
		kv.Result{Revision: 4}},
	{"creation of a key deleted since is refused", gone, since(put("k", "v", 0), 3),
		kv.Result{Code: kv.CodeChanged, Revision: 4, DeleteRevision: 4}},
	{"creation of a key deleted before is executed", gone, since(put("k", "v", 0), 4),
		kv.Result{Version: 1, CreateRevision: 5, ModRevision: 5, Revision: 5}},
	{"creation of a key is executed although another was deleted since", gone, since(put("j", "v", 0), 1),
		kv.Result{Version: 1, CreateRevision: 5, ModRevision: 5, Revision: 5}},
	{"delete of a key deleted since finds no key", gone, since(del("k", 1), 3),
		kv.Result{Code: kv.CodeNoKey, Revision: 4, DeleteRevision: 4}},
	{"unconditional put of a key changed since is refused", twice, anyVersion(since(put("k", "v", 0), 2)),
		kv.Result{Code: kv.CodeChanged, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"unconditional delete of a key changed since is refused", twice, anyVersion(since(del("k", 0), 2)),
		kv.Result{Code: kv.CodeChanged, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"first attempt on a key changed since is executed", twice, first(put("k", "v", 2), 2),
		kv.Result{Version: 3, CreateRevision: 2, ModRevision: 4, Revision: 4}},
	{"first attempt on a key that came back is executed", backAgain, first(del("k", 1), 1),
		kv.Result{Revision: 6}},
	{"first attempt to create a key deleted since is executed", gone, first(put("k", "v", 0), 1),
		kv.Result{Version: 1, CreateRevision: 5, ModRevision: 5, Revision: 5}},
	{"resend on a key changed since is refused", twice, resend(put("k", "v", 2), 2),
		kv.Result{Code: kv.CodeChanged, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"first attempt behind a resend at its revision is refused", resent, first(put("k", "v", 2), 2),
		kv.Result{Code: kv.CodeChanged, Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"first attempt of a later revision than the last resend is executed", append(slices.Clip(resent), put("k", "v", 2)),
		first(put("k", "v", 3), 3), kv.Result{Version: 4, CreateRevision: 2, ModRevision: 5, Revision: 5}},
	{"first attempt on another key than that of a resend is executed", resent, first(put("j", "v", 0), 1),
		kv.Result{Version: 1, CreateRevision: 4, ModRevision: 4, Revision: 4}},
	{"get ignores since when", twice, since(get("k"), 1),
		kv.Result{Value: []byte("two"), Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
	{"an empty key is refused", twice, put("", "v", 0),
		kv.Result{Code: kv.CodeEmptyKey, Revision: 3}},
	{"an unknown kind is refused", twice, kv.Op{Kind: 77, Key: "k", Unconditional: true},
		kv.Result{Code: kv.CodeUnknownKind, Revision: 3}},
	{"the zero operation is refused", nil, kv.Op{},
		kv.Result{Code: kv.CodeUnknownKind, Revision: 1}},
}

func TestDoOp(t *testing.T) {
	for _, tt := range doOpTests {
		t.Run(tt.name, func(t *testing.T) {
			s := newWorld(t)
			for _, op := range tt.before {
				if err := s.do(op).Err(); err != nil {
					t.Fatalf("before: %v: %v", op, err)
				}
			}
			hash := s.Hash()
			got := s.do(tt.op)
			if !equal(got, tt.want) {
				t.Errorf("result\n got %+v\nwant %+v", got, tt.want)
			}
			changed := tt.want.Code == kv.CodeOK && tt.op.Kind != kv.Get || tt.op.Attempt == kv.Resend
			if (s.Hash() != hash) != changed {
				t.Errorf("hash changed: %v, want %v", s.Hash() != hash, changed)
			}
		})
	}
}

func TestStoreGetAnswersLikeDoOp(t *testing.T) {
	s := newWorld(t)
	s.do(put("k", "v", 0))
	for _, key := range []string{"k", "absent", ""} {
		want := s.do(get(key))
		if got := s.Get(key); !equal(got, want) {
			t.Errorf("Get(%q) = %+v, DoOp gives %+v", key, got, want)
		}
		if got, ok := s.tryGet(key); !ok || !equal(got, want) {
			t.Errorf("TryGet(%q) = %+v, %v, DoOp gives %+v", key, got, ok, want)
		}
	}
}

// tryGet is TryGets for one key.
func (w *world) tryGet(key string) (r kv.Result, ok bool) {
	w.TryGets([]string{key}, func(_ int, got kv.Result, inMemory bool) { r, ok = got, inMemory })
	return r, ok
}

// Many keys are looked for together: those that are there, those that are not, and the same ones again.
func TestTryGetsIsGetForEach(t *testing.T) {
	s := newWorld(t)
	var keys []string
	for i := range 200 {
		key := fmt.Sprint("k", i%150)
		if keys = append(keys, key); i%3 > 0 {
			s.do(anyVersion(put(key, fmt.Sprint("v", i), 0)))
		}
	}
	keys = append(keys, "")
	next := 0
	s.TryGets(keys, func(i int, r kv.Result, ok bool) {
		if want := s.Get(keys[i]); i != next || !ok || !equal(r, want) {
			t.Errorf("key %d, %q, is %+v (%t), want %+v as number %d", i, keys[i], r, ok, want, next)
		}
		next++
	})
	if next != len(keys) {
		t.Errorf("%d of %d keys", next, len(keys))
	}
}

// TestTryGetNeedsNoDisk reads a key whose record is in a file alone.
func TestTryGetNeedsNoDisk(t *testing.T) {
	s := newWorld(t)
	s.do(put("k", "v", 0))
	s.restart()
	for i := range 100 { // until the run is sealed
		s.do(anyVersion(put("other", strings.Repeat("x", 100), uint64(i))))
	}
	s.flush()
	if r, ok := s.tryGet("k"); ok {
		t.Errorf("the record of a file comes from memory: %+v", r)
	}
	if r := s.Get("k"); string(r.Value) != "v" {
		t.Errorf("Get reads %+v", r)
	}
	if r, ok := s.tryGet("absent"); !ok || r.Code != kv.CodeNoKey {
		t.Errorf("to miss a key takes a disk: %+v, %v", r, ok)
	}
}

func TestStoreKeepsItsOwnCopyOfAValue(t *testing.T) {
	s := newWorld(t)
	value := []byte("before")
	s.do(kv.Op{Kind: kv.Put, Key: "k", Value: value})
	copy(value, "after!")
	if got := s.Get("k").Value; string(got) != "before" {
		t.Errorf("value became %q with the caller's buffer", got)
	}
}

// TestBytesAreThoseOfThePresentRecords: a record has its key, its value, and some bytes that do not
// depend on them.
func TestBytesAreThoseOfThePresentRecords(t *testing.T) {
	s := newWorld(t)
	s.do(put("k", "", 0))
	record := s.Bytes() - 1
	s.do(del("k", 1))
	for _, step := range []struct {
		op    kv.Op
		keys  int64
		bytes int64 // of keys and values
	}{
		{put("abc", "12345", 0), 1, 8},
		{put("abc", "1", 1), 1, 4},
		{put("d", "", 0), 2, 5},
		{put("abc", "refused", 9), 2, 5},
		{del("abc", 2), 1, 1},
		{del("d", 1), 0, 0},
	} {
		s.do(step.op)
		if got, want := s.Bytes(), step.bytes+step.keys*record; got != want || s.Figures().Keys != step.keys {
			t.Errorf("after %v: %d bytes in %d keys, want %d in %d", step.op, got, s.Figures().Keys, want, step.keys)
		}
	}
}

func TestRangeIsOrderedAndBounded(t *testing.T) {
	s := newWorld(t)
	for _, key := range []string{"d", "a", "c", "b", "ab"} {
		s.do(put(key, "v", 0))
	}
	for _, tt := range []struct {
		from, to string
		want     []string
	}{
		{"", "", []string{"a", "ab", "b", "c", "d"}},
		{"ab", "c", []string{"ab", "b"}},
		{"bb", "", []string{"c", "d"}},
		{"c", "a", nil},
		{"x", "", nil},
	} {
		r, err := s.Range(kv.RangeOp{Span: kv.Span{From: tt.from, To: tt.to}})
		var got []string
		for _, e := range r.Entries {
			got = append(got, e.Key)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("from %q to %q: %q, %v; want %q", tt.from, tt.to, got, err, tt.want)
		}
	}
}

func TestCompareOfASpanWithoutKeysIsThatOfAnAbsentKey(t *testing.T) {
	s := newWorld(t)
	s.do(put("a", "v", 0))
	s.do(put("c", "v", 0))
	s.do(del("c", 1))
	for _, span := range []kv.Span{kv.Single("c"), kv.FromKey("b"), {From: "b", To: "d"}, {From: "z", To: "y"}} {
		for want, compares := range map[bool][]kv.Compare{
			true: {
				{Target: kv.TargetVersion}, {Target: kv.TargetCreate}, {Target: kv.TargetMod}, {Target: kv.TargetLease},
				{Target: kv.TargetMod, Relation: kv.Less, Number: 1},
			},
			false: {
				{Target: kv.TargetVersion, Relation: kv.Greater}, {Target: kv.TargetLease, Relation: kv.NotEqual},
				{Target: kv.TargetValue}, {Target: kv.TargetValue, Relation: kv.NotEqual, Value: []byte("v")},
			},
		} {
			for _, c := range compares {
				c.Span = span
				if r, err := s.Txn(&kv.Txn{If: []kv.Compare{c}}, 0); r.Succeeded != want || err != nil {
					t.Errorf("%+v is %t, %v", c, r.Succeeded, err)
				}
			}
		}
	}
}

// TestPagesAreOfOneMoment reads the pages of a range at the revision of the first, while what is
// still to come changes.
func TestPagesAreOfOneMoment(t *testing.T) {
	s := newWorld(t)
	for _, key := range []string{"d", "a", "c", "b", "ab"} {
		s.do(put(key, "v", 0))
	}
	var got []string
	for op := (kv.RangeOp{Limit: 1, Revision: s.Revision()}); ; {
		r, err := s.Range(op)
		if err != nil {
			t.Fatal(err)
		}
		e := r.Entries[0]
		got = append(got, fmt.Sprintf("%s=%s version %d of %d, %d", e.Key, e.Value, e.Version, e.CreateRevision, e.ModRevision))
		if !r.More {
			break
		}
		op.From = e.Key + "\x00"
		s.do(anyVersion(del("b", 0)))
		s.do(anyVersion(put("bb", "later", 0)))
		s.do(anyVersion(put("d", "later", 0)))
	}
	want := []string{"a=v version 1 of 3, 3", "ab=v version 1 of 6, 6", "b=v version 1 of 5, 5", "c=v version 1 of 4, 4", "d=v version 1 of 2, 2"}
	if !slices.Equal(got, want) {
		t.Errorf("while keys change:\n got %q\nwant %q", got, want)
	}
}

func TestHashTellsStatesApart(t *testing.T) {
	histories := map[string][]kv.Op{
		"empty":                     nil,
		"one key":                   {put("k", "v", 0)},
		"another value":             {put("k", "w", 0)},
		"another split":             {put("kv", "", 0)},
		"another version":           {put("k", "v", 0), put("k", "v", 1)},
		"another revision":          {put("j", "", 0), put("k", "v", 0), del("j", 1)},
		"another create revision":   {put("k", "v", 0), del("k", 1), put("k", "v", 0)},
		"same keys, other revision": {put("k", "v", 0), put("j", "", 0), del("j", 1)},
		"empty, later":              {put("k", "v", 0), del("k", 1)},
		"empty, another deleted":    {put("j", "v", 0), del("j", 1)},
	}
	seen := map[uint64]string{}
	for name, ops := range histories {
		s := newWorld(t)
		for _, op := range ops {
			s.do(op)
		}
		if other, ok := seen[s.Hash()]; ok {
			t.Errorf("%q and %q have one hash", name, other)
		}
		seen[s.Hash()] = name
	}
}

func TestValidate(t *testing.T) {
	limits := kv.Limits{MaxKeyBytes: 3, MaxValueBytes: 5}
	tests := []struct {
		name   string
		op     kv.Op
		limits kv.Limits
		want   error
		text   string
	}{
		{"an operation at its limits passes", put("abc", "12345", 0), limits, nil, ""},
		{"a key over the limit is named", put("abcd", "", 0), limits, kv.ErrTooLarge,
			"key has 4 bytes, the limit is 3: kv: too large"},
		{"a value over the limit is named", put("abc", "123456", 0), limits, kv.ErrTooLarge,
			"value has 6 bytes, the limit is 5: kv: too large"},
		{"an empty key is refused", get(""), limits, kv.ErrEmptyKey, "kv: key is empty"},
		{"an unknown kind is refused", kv.Op{Kind: 9, Key: "k"}, limits, kv.ErrUnknownKind,
			"kind is OpKind(9): kv: unknown kind of operation"},
		{"no limits are the default limits", put("k", string(make([]byte, 3<<19)), 0), kv.Limits{}, nil, ""},
		{"the default limits hold", put("k", string(make([]byte, 3<<19+1)), 0), kv.Limits{}, kv.ErrTooLarge,
			"value has 1572865 bytes, the limit is 1572864: kv: too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.op.Validate(tt.limits)
			if !errors.Is(err, tt.want) || err != nil && err.Error() != tt.text {
				t.Errorf("got %v, want %q", err, tt.text)
			}
		})
	}
}

func TestCodesAndErrorsMapBothWays(t *testing.T) {
	for code := kv.CodeOK; code <= kv.CodeAuthLimit; code++ {
		if code > kv.CodeTooManyAlarms && code < kv.CodePermissionDenied {
			if _, ok := kv.CodeOf(code.Err()); ok || code.Err() == nil {
				t.Errorf("code %d means nothing, its error is %v", code, code.Err())
			}
			continue
		}
		if back, ok := kv.CodeOf(code.Err()); !ok || back != code {
			t.Errorf("code %d (%v) comes back as %d, %v", code, code, back, ok)
		}
	}
	if err := kv.Code(200).Err(); err == nil {
		t.Error("an unknown code stands for success")
	}
	if _, ok := kv.CodeOf(errors.New("other")); ok {
		t.Error("another error has a code")
	}
}
