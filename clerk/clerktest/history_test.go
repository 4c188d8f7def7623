package clerktest

import (
	"fmt"
	"math/rand/v2"
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
			end = forever
		}
		return porcupine.Operation{Input: input{key: "k", value: value, version: version}, Output: output{err: err}, Call: call, Return: end}
	}
	get := func(call, end int64, value string, version uint64) porcupine.Operation {
		return porcupine.Operation{Input: input{get: true, key: "k"}, Output: output{value: value, version: version}, Call: call, Return: end}
	}
	missing := func(call, end int64) porcupine.Operation {
		return porcupine.Operation{Input: input{get: true, key: "k"}, Output: output{err: clerk.ErrNoKey}, Call: call, Return: end}
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
		{"a refusal by a version to come", []porcupine.Operation{
			put(1, 2, "a", 0, nil), put(3, 4, "b", 2, clerk.ErrVersion), put(5, 6, "c", 1, nil), get(7, 8, "c", 2),
		}, ""},
		{"a refusal before the Put that it lost to", []porcupine.Operation{
			put(1, 2, "a", 0, nil), put(3, 4, "b", 1, clerk.ErrVersion), put(5, 6, "c", 1, nil),
		}, "not linearizable"},
		{"an absent key after it was seen", []porcupine.Operation{
			put(1, 9, "a", 0, nil), get(2, 3, "a", 1), missing(4, 5),
		}, "not linearizable"},
		{"an absent key before it was seen", []porcupine.Operation{
			put(1, 9, "a", 0, nil), missing(2, 5), get(3, 4, "a", 1),
		}, ""},
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

// TestVerdictIsThatOfTheBareChecker compares with porcupine alone, on histories small
// enough for it, true ones with something bent among them.
func TestVerdictIsThatOfTheBareChecker(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	verdicts := make(map[bool]int)
	for range 20_000 {
		ops := randomHistory(random)
		want := porcupine.CheckOperations(model, ops)
		decided, _ := decide(ops)
		narrowed, err := narrow(decided)
		got := err == nil && porcupine.CheckOperations(model, narrowed)
		if got != want {
			t.Fatalf("linearizable is %v, want %v (%v):\n%s", got, want, err, describe(ops))
		}
		verdicts[want]++
	}
	if verdicts[true] < 1000 || verdicts[false] < 1000 {
		t.Errorf("verdicts are %v: not much of a test", verdicts)
	}
}

// randomHistory executes operations in order, each at its own instant, forgets some
// outcomes, and may then move an end or bend a result.
func randomHistory(random *rand.Rand) (ops []porcupine.Operation) {
	var state register
	for i := range 2 + random.IntN(7) {
		at := int64(10 * (i + 1))
		op := porcupine.Operation{Call: at - random.Int64N(40), Return: at + random.Int64N(40)}
		in, out := input{key: "k", get: random.IntN(2) == 0}, output{}
		if !in.get {
			in.value, in.version = fmt.Sprint("v", i), state.version
			if random.IntN(3) == 0 {
				in.version = random.Uint64N(state.version + 2)
			}
		}
		switch {
		case in.get && state.version == 0:
			out.err = clerk.ErrNoKey
		case in.get:
			out.value, out.version = state.value, state.version
		case in.version == state.version:
			state = register{in.value, in.version + 1}
		case state.version == 0:
			out.err = clerk.ErrNoKey
		default:
			out.err = clerk.ErrVersion
		}
		if !in.get && random.IntN(3) == 0 {
			out.err, op.Return = clerk.ErrMaybe, forever
		}
		op.Input, op.Output = in, out
		ops = append(ops, op)
	}
	bend(random, ops)
	return ops
}

func bend(random *rand.Rand, ops []porcupine.Operation) {
	op, other := &ops[random.IntN(len(ops))], ops[random.IntN(len(ops))]
	in, out := op.Input.(input), op.Output.(output)
	switch random.IntN(4) {
	case 0:
		op.Call += random.Int64N(40)
		op.Return = max(op.Call, op.Return)
	case 1:
		if in.get == other.Input.(input).get {
			op.Output = other.Output
		}
		if out := op.Output.(output); out.err == clerk.ErrMaybe {
			op.Return = forever
		}
	case 2:
		if in.get && out.err == nil {
			out.version += random.Uint64N(2)
			op.Output = out
		}
	}
}

func describe(ops []porcupine.Operation) string {
	var b strings.Builder
	for _, op := range ops {
		fmt.Fprintf(&b, "%d..%d %+v -> %+v\n", op.Call, op.Return, op.Input, op.Output)
	}
	return b.String()
}
