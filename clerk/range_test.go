package clerk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// keysOf collects the keys that a Range yields.
func keysOf(t *testing.T, ck *clerk.Clerk, span clerk.Span, opts ...clerk.RangeOption) (keys []string) {
	t.Helper()
	for kv, err := range ck.Range(t.Context(), span, opts...) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, kv.Key)
	}
	return keys
}

func set(t *testing.T, ck *clerk.Clerk, key, value string, opts ...clerk.PutOption) clerk.KV {
	t.Helper()
	kv, err := ck.Set(t.Context(), key, []byte(value), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestRangeOptions(t *testing.T) {
	service(t, 1, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		for _, key := range []string{"a/3", "a/1", "b", "a/2", "c"} { // revisions 2 to 6
			set(t, ck, key, key+"!")
		}
		set(t, ck, "a/3", "again") // 7
		if err := ck.Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		a := clerk.Prefix("a/")
		for name, tc := range map[string]struct {
			span clerk.Span
			opts []clerk.RangeOption
			want []string
		}{
			"prefix":         {a, nil, []string{"a/1", "a/2", "a/3"}},
			"all":            {clerk.Span{}, nil, []string{"a/1", "a/2", "a/3", "b"}},
			"from key":       {clerk.FromKey("a/3"), nil, []string{"a/3", "b"}},
			"one key":        {clerk.Key("b"), nil, []string{"b"}},
			"nothing":        {clerk.Prefix("x"), nil, nil},
			"empty":          {clerk.Span{From: "b", To: "a"}, nil, nil},
			"limit":          {a, []clerk.RangeOption{clerk.Limit(2)}, []string{"a/1", "a/2"}},
			"descending":     {a, []clerk.RangeOption{clerk.Descending()}, []string{"a/3", "a/2", "a/1"}},
			"by creation":    {a, []clerk.RangeOption{clerk.OrderBy(clerk.SortByCreateRevision)}, []string{"a/3", "a/1", "a/2"}},
			"by change":      {a, []clerk.RangeOption{clerk.OrderBy(clerk.SortByModRevision), clerk.Limit(1)}, []string{"a/1"}},
			"by version":     {a, []clerk.RangeOption{clerk.OrderBy(clerk.SortByVersion), clerk.Descending()}, []string{"a/3", "a/1", "a/2"}},
			"then":           {clerk.Span{}, []clerk.RangeOption{clerk.AtRevision(6)}, []string{"a/1", "a/2", "a/3", "b", "c"}},
			"early":          {clerk.Span{}, []clerk.RangeOption{clerk.AtRevision(3)}, []string{"a/1", "a/3"}},
			"changed lately": {clerk.Span{}, []clerk.RangeOption{clerk.ModifiedBetween(5, 0)}, []string{"a/2", "a/3"}},
			"created early":  {clerk.Span{}, []clerk.RangeOption{clerk.CreatedBetween(0, 3)}, []string{"a/1", "a/3"}},
			"local":          {a, []clerk.RangeOption{clerk.Local(), clerk.KeysOnly()}, []string{"a/1", "a/2", "a/3"}},
			"small pages":    {clerk.Span{}, []clerk.RangeOption{clerk.PageBytes(1)}, []string{"a/1", "a/2", "a/3", "b"}},
			"backwards":      {clerk.Span{}, []clerk.RangeOption{clerk.PageBytes(1), clerk.Descending()}, []string{"b", "a/3", "a/2", "a/1"}},
		} {
			if got := keysOf(t, ck, tc.span, tc.opts...); !slices.Equal(got, tc.want) {
				t.Errorf("%s: %q, want %q", name, got, tc.want)
			}
		}
		for kv, err := range ck.Range(t.Context(), clerk.Key("a/3")) {
			if err != nil || string(kv.Value) != "again" || kv.Version != 2 || kv.CreateRevision != 2 || kv.ModRevision != 7 || kv.Revision != 8 {
				t.Errorf("%+v, %v", kv, err)
			}
		}
		if n, err := ck.Count(t.Context(), a); n != 3 || err != nil {
			t.Errorf("count: %d, %v", n, err)
		}
		if kv, err := ck.Get(t.Context(), "a/3", clerk.AtRevision(6)); err != nil || string(kv.Value) != "a/3!" || kv.Version != 1 {
			t.Errorf("get at a revision: %+v, %v", kv, err)
		}
		if _, err := ck.Get(t.Context(), "c", clerk.AtRevision(8)); !errors.Is(err, clerk.ErrNoKey) {
			t.Errorf("get of a removed key: %v", err)
		}
		if _, err := ck.Get(t.Context(), "c", clerk.AtRevision(9)); !errors.Is(err, clerk.ErrFutureRevision) {
			t.Errorf("get at a revision to come: %v", err)
		}
	})
}

// TestRangeIsOfOneRevision reads many pages while the keys are changed and removed.
func TestRangeIsOfOneRevision(t *testing.T) {
	service(t, 2, true, func(t *testing.T, s *clerktest.Service) {
		const keys = 200
		ck := s.Clerk("a")
		for i := range keys {
			set(t, ck, fmt.Sprintf("k%03d", i), "old")
		}
		before, n := s.Requests(), 0
		for kv, err := range ck.Range(t.Context(), clerk.Span{}, clerk.PageBytes(70)) {
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("k%03d", n); kv.Key != want || string(kv.Value) != "old" {
				t.Fatalf("%+v, want %s", kv, want)
			}
			n++
			set(t, ck, fmt.Sprintf("k%03d", n+30), "new")
			if err := ck.Remove(t.Context(), fmt.Sprintf("k%03d", n+60)); err != nil && !errors.Is(err, clerk.ErrNoKey) {
				t.Fatal(err)
			}
		}
		if pages := s.Requests() - before - 2*keys; n != keys || pages < keys/20 || pages > keys/9 {
			t.Errorf("%d keys in %d pages", n, pages)
		}
	})
}

// TestRangeEndsEarly: a loop that is left asks for no more pages, and an error is the last thing.
func TestRangeEndsEarly(t *testing.T) {
	service(t, 3, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		for i := range 5 {
			set(t, ck, fmt.Sprint("k", i), "v")
		}
		before := s.Requests()
		for range ck.Range(t.Context(), clerk.Span{}, clerk.PageBytes(1)) {
			break
		}
		if n := s.Requests() - before; n != 1 {
			t.Errorf("%d requests", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		for _, err := range ck.Range(ctx, clerk.Span{}, clerk.PageBytes(1)) {
			if n++; n == 3 {
				cancel()
			}
			if n > 3 && !errors.Is(err, context.Canceled) || n <= 3 && err != nil || n > 4 {
				t.Errorf("%d: %v", n, err)
			}
		}
		if err := ck.Compact(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		for _, err := range ck.Range(t.Context(), clerk.Span{}, clerk.AtRevision(3)) {
			if !errors.Is(err, clerk.ErrCompacted) {
				t.Error(err)
			}
		}
		if err := ck.Compact(t.Context(), 4); !errors.Is(err, clerk.ErrCompacted) {
			t.Error(err)
		}
		if err := ck.Compact(t.Context(), 99); !errors.Is(err, clerk.ErrFutureRevision) {
			t.Error(err)
		}
	})
}

// TestRangeInAnotherOrderIsWholeOrAnError: it is never cut short without a word.
func TestRangeInAnotherOrderIsWholeOrAnError(t *testing.T) {
	service(t, 4, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		value := bytes.Repeat([]byte("v"), 1<<20)
		for i := range 3 {
			set(t, ck, fmt.Sprint("k", i), string(value))
		}
		order := clerk.OrderBy(clerk.SortByModRevision)
		n := 0
		var last error
		for _, err := range ck.Range(t.Context(), clerk.Span{}, order) {
			n++
			last = err
		}
		if n == 3 || !errors.Is(last, clerk.ErrTooLarge) {
			t.Errorf("%d keys, %v", n-1, last)
		}
		if got := keysOf(t, ck, clerk.Span{}, order, clerk.Limit(1)); len(got) != 1 {
			t.Errorf("with a limit: %q", got)
		}
		if got := keysOf(t, ck, clerk.Span{}, order, clerk.KeysOnly()); len(got) != 3 {
			t.Errorf("without values: %q", got)
		}
		if got := keysOf(t, ck, clerk.Span{}); len(got) != 3 {
			t.Errorf("in the order of keys: %q", got)
		}
	})
}

func TestDeleteRange(t *testing.T) {
	service(t, 5, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		for _, key := range []string{"a/1", "a/2", "b"} {
			set(t, ck, key, "v")
		}
		for _, want := range []int64{2, 0} {
			if n, err := ck.DeleteRange(t.Context(), clerk.Prefix("a/")); n != want || err != nil {
				t.Errorf("deleted %d, want %d: %v", n, want, err)
			}
		}
		if got := keysOf(t, ck, clerk.Span{}); !slices.Equal(got, []string{"b"}) {
			t.Errorf("left: %q", got)
		}
	})
}
