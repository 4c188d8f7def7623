package clerktest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"balsa/clerk"
)

// recorder is a testing.TB that remembers its errors.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// TestCheckSeesWhatIsWrong shows a History to fail, and what it must not mind.
func TestCheckSeesWhatIsWrong(t *testing.T) {
	put := func(call, end int64, value string, version uint64, err error) porcupine.Operation {
		if err == clerk.ErrMaybe {
			end = 1 << 62
		}
		return porcupine.Operation{Input: input{key: "k", value: value, version: version}, Output: output{err: err}, Call: call, Return: end}
	}
	get := func(call, end int64, value string, version uint64) porcupine.Operation {
		return porcupine.Operation{Input: input{get: true, key: "k"}, Output: output{value: value, version: version}, Call: call, Return: end}
	}
	// Enough of another key that one doubt is no matter.
	var filler []porcupine.Operation
	for i := range 20 {
		filler = append(filler, porcupine.Operation{
			Input: input{key: "filler", version: uint64(i)}, Output: output{}, Call: int64(i), Return: int64(i),
		})
	}
	for _, test := range []struct {
		name string
		ops  []porcupine.Operation
		want string // part of the one error; empty: none
	}{
		{"writes and reads in order", []porcupine.Operation{put(1, 2, "a", 0, nil), get(3, 4, "a", 1)}, ""},
		{"a stale read", []porcupine.Operation{put(1, 2, "a", 0, nil), put(3, 4, "b", 1, nil), get(5, 6, "a", 1)}, "not linearizable"},
		{"a lost write", []porcupine.Operation{put(1, 2, "a", 0, nil), put(3, 4, "b", 0, nil)}, "not linearizable"},
		{"a refusal without a reason", []porcupine.Operation{put(1, 2, "a", 0, clerk.ErrVersion)}, "not linearizable"},
		{"a read of what nobody wrote", []porcupine.Operation{get(1, 2, "a", 1)}, "not linearizable"},
		{"a doubt that nothing settles", []porcupine.Operation{put(1, 2, "a", 0, clerk.ErrMaybe)}, ""},
		{"a doubt that turns out executed, late", []porcupine.Operation{
			put(1, 0, "a", 0, clerk.ErrMaybe), put(2, 3, "b", 0, clerk.ErrVersion), get(2, 5, "a", 1), put(6, 7, "c", 1, nil),
		}, ""},
		{"a doubt that turns out not executed", []porcupine.Operation{
			put(1, 0, "a", 0, clerk.ErrMaybe), put(2, 3, "b", 0, nil), get(4, 5, "b", 1),
		}, ""},
		{"a doubt that was executed although another was", []porcupine.Operation{
			put(1, 0, "a", 0, clerk.ErrMaybe), put(2, 3, "b", 0, nil), get(4, 5, "a", 1), get(6, 7, "b", 1),
		}, "not linearizable"},
		{"a doubt read before it was asked for", []porcupine.Operation{
			get(1, 2, "a", 1), put(3, 0, "a", 0, clerk.ErrMaybe),
		}, "not linearizable"},
		{"nothing but doubts", []porcupine.Operation{
			put(1, 0, "a", 0, clerk.ErrMaybe), put(1, 0, "b", 0, clerk.ErrMaybe), put(1, 0, "c", 1, clerk.ErrMaybe),
		}, "unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, r := NewHistory(), &recorder{TB: t}
			h.ops = slices.Concat(filler, test.ops)
			h.Check(r, 1)
			got := strings.Join(r.errors, "; ")
			if len(r.errors) > 1 || (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	h, r := NewHistory(), &recorder{TB: t}
	if h.Check(r, 1); len(r.errors) != 1 {
		t.Errorf("of an empty history: %q", r.errors)
	}
}
