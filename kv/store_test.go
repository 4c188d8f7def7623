package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"balsa.example/kv"
	"balsa.example/rsm"
)

var (
	_ rsm.StateMachine[kv.Op, kv.Result] = (*kv.Store)(nil)
	_ rsm.Codec[kv.Op]                   = kv.Codec{}
)

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
			s := kv.NewStore()
			for _, op := range tt.before {
				if err := s.DoOp(op).Err(); err != nil {
					t.Fatalf("before: %v: %v", op, err)
				}
			}
			hash := s.Hash()
			got := s.DoOp(tt.op)
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
	s := kv.NewStore()
	s.DoOp(put("k", "v", 0))
	for _, key := range []string{"k", "absent", ""} {
		if got, want := s.Get(key), s.DoOp(get(key)); !equal(got, want) {
			t.Errorf("Get(%q) = %+v, DoOp gives %+v", key, got, want)
		}
	}
}

func TestStoreKeepsItsOwnCopyOfAValue(t *testing.T) {
	s := kv.NewStore()
	value := []byte("before")
	s.DoOp(kv.Op{Kind: kv.Put, Key: "k", Value: value})
	copy(value, "after!")
	if got := s.Get("k").Value; string(got) != "before" {
		t.Errorf("value became %q with the caller's buffer", got)
	}
}

func TestBytesCountsKeysAndValues(t *testing.T) {
	s := kv.NewStore()
	steps := []struct {
		op   kv.Op
		want int64
	}{
		{put("abc", "12345", 0), 8},
		{put("abc", "1", 1), 4},
		{put("d", "", 0), 5},
		{put("abc", "refused", 9), 5},
		{del("abc", 2), 1},
		{del("d", 1), 0},
	}
	for _, step := range steps {
		s.DoOp(step.op)
		if got := s.Bytes(); got != step.want {
			t.Errorf("after %v: %d bytes, want %d", step.op, got, step.want)
		}
	}
}

func TestAscendIsOrderedBoundedAndOfOneMoment(t *testing.T) {
	s := kv.NewStore()
	for _, key := range []string{"d", "a", "c", "b", "ab"} {
		s.DoOp(put(key, "v", 0))
	}
	keys := func(from, to string) (keys []string) {
		for e := range s.Ascend(from, to) {
			keys = append(keys, e.Key)
		}
		return keys
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
		if got := keys(tt.from, tt.to); !slices.Equal(got, tt.want) {
			t.Errorf("Ascend(%q, %q) = %q, want %q", tt.from, tt.to, got, tt.want)
		}
	}

	// The loop's body changes what is still to come.
	var got []string
	for e := range s.Ascend("", "") {
		s.DoOp(anyVersion(del("b", 0)))
		s.DoOp(anyVersion(put("bb", "later", 0)))
		s.DoOp(anyVersion(put("d", "later", 0)))
		got = append(got, fmt.Sprintf("%s=%s version %d of %d, %d", e.Key, e.Value, e.Version, e.CreateRevision, e.ModRevision))
	}
	want := []string{"a=v version 1 of 3, 3", "ab=v version 1 of 6, 6", "b=v version 1 of 5, 5", "c=v version 1 of 4, 4", "d=v version 1 of 2, 2"}
	if !slices.Equal(got, want) {
		t.Errorf("while keys change:\n got %q\nwant %q", got, want)
	}
	for range s.Ascend("", "") {
		break
	}
	if retained := kv.Retained(s); retained != 0 {
		t.Errorf("after iterations that ended, %d records are retained", retained)
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
		s := kv.NewStore()
		for _, op := range ops {
			s.DoOp(op)
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
	for code := kv.CodeOK; code <= kv.CodeChanged; code++ {
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
