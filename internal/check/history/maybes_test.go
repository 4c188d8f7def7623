package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// recorder remembers the errors of a test.
type recorder struct {
	errors []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// TestCheckSeesWhatIsWrong shows a History to fail, and what it must not mind.
func TestCheckSeesWhatIsWrong(t *testing.T) {
	put := func(call, end int64, value string, version uint64, o Outcome) Op {
		if o == Maybe {
			end = never
		}
		return Op{Kind: Put, Key: "k", Value: value, Version: version, Outcome: o, Call: call, Return: end}
	}
	get := func(call, end int64, value string, version uint64) Op {
		return Op{Kind: Get, Key: "k", Value: value, Version: version, Call: call, Return: end}
	}
	missing := func(call, end int64) Op {
		return Op{Kind: Get, Key: "k", Outcome: NoKey, Call: call, Return: end}
	}
	// Enough of another key that one doubt is no matter.
	var filler []Op
	for i := range 20 {
		filler = append(filler, Op{Kind: Put, Key: "filler", Version: uint64(i), Call: int64(i), Return: int64(i)})
	}
	for _, test := range []struct {
		name string
		ops  []Op
		want string // part of the one error; empty: none
	}{
		{"writes and reads in order", []Op{put(1, 2, "a", 0, OK), get(3, 4, "a", 1)}, ""},
		{"a stale read", []Op{put(1, 2, "a", 0, OK), put(3, 4, "b", 1, OK), get(5, 6, "a", 1)}, "not linearizable"},
		{"a lost write", []Op{put(1, 2, "a", 0, OK), put(3, 4, "b", 0, OK)}, "written twice"},
		{"a refusal without a reason", []Op{put(1, 2, "a", 0, VersionMismatch)}, "not linearizable"},
		{"a read of what nobody wrote", []Op{get(1, 2, "a", 1)}, "not linearizable"},
		{"a doubt that nothing settles", []Op{put(1, 2, "a", 0, Maybe)}, ""},
		{"a doubt that turns out executed, late", []Op{
			put(1, 0, "a", 0, Maybe), put(2, 3, "b", 0, VersionMismatch), get(2, 5, "a", 1), put(6, 7, "c", 1, OK),
		}, ""},
		{"a doubt that turns out not executed", []Op{
			put(1, 0, "a", 0, Maybe), put(2, 3, "b", 0, OK), get(4, 5, "b", 1),
		}, ""},
		{"a doubt that was executed although another was", []Op{
			put(1, 0, "a", 0, Maybe), put(2, 3, "b", 0, OK), get(4, 5, "a", 1), get(6, 7, "b", 1),
		}, "not linearizable"},
		{"a doubt read before it was asked for", []Op{
			get(1, 2, "a", 1), put(3, 0, "a", 0, Maybe),
		}, "not linearizable"},
		{"a refusal by a version to come", []Op{
			put(1, 2, "a", 0, OK), put(3, 4, "b", 2, VersionMismatch), put(5, 6, "c", 1, OK), get(7, 8, "c", 2),
		}, ""},
		{"a refusal before the Put that it lost to", []Op{
			put(1, 2, "a", 0, OK), put(3, 4, "b", 1, VersionMismatch), put(5, 6, "c", 1, OK),
		}, "not linearizable"},
		{"an absent key after it was seen", []Op{
			put(1, 9, "a", 0, OK), get(2, 3, "a", 1), missing(4, 5),
		}, "not linearizable"},
		{"an absent key before it was seen", []Op{
			put(1, 9, "a", 0, OK), missing(2, 5), get(3, 4, "a", 1),
		}, ""},
		{"nothing but doubts", []Op{
			put(1, 0, "a", 0, Maybe), put(1, 0, "b", 0, Maybe), put(1, 0, "c", 1, Maybe),
		}, "unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, r := New(), &recorder{}
			h.ops = slices.Concat(filler, test.ops)
			h.Check(r, 1)
			got := strings.Join(r.errors, "; ")
			if len(r.errors) > 1 || (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	h, r := New(), &recorder{}
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
		want := porcupine.CheckOperations(model, operations(ops))
		decided, _ := resolveMaybes(ops)
		narrowed, err := postponeCalls(decided)
		got := err == nil && porcupine.CheckOperations(model, operations(narrowed))
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
func randomHistory(random *rand.Rand) (ops []Op) {
	var state register
	for i := range 2 + random.IntN(7) {
		at := int64(10 * (i + 1))
		op := Op{Key: "k", Kind: Kind(random.IntN(2)), Call: at - random.Int64N(40), Return: at + random.Int64N(40)}
		if op.Kind == Put {
			op.Value, op.Version = fmt.Sprint("v", i), state.version
			if random.IntN(3) == 0 {
				op.Version = random.Uint64N(state.version + 2)
			}
		}
		switch {
		case op.Kind == Get && state.version == 0:
			op.Outcome = NoKey
		case op.Kind == Get:
			op.Value, op.Version = state.value, state.version
		case op.Version == state.version:
			state = register{op.Value, op.Version + 1}
		case state.version == 0:
			op.Outcome = NoKey
		default:
			op.Outcome = VersionMismatch
		}
		if op.Kind == Put && random.IntN(3) == 0 {
			op.Outcome, op.Return = Maybe, never
		}
		ops = append(ops, op)
	}
	bend(random, ops)
	return ops
}

func bend(random *rand.Rand, ops []Op) {
	op, other := &ops[random.IntN(len(ops))], ops[random.IntN(len(ops))]
	switch random.IntN(4) {
	case 0:
		op.Call += random.Int64N(40)
		op.Return = max(op.Call, op.Return)
	case 1:
		switch {
		case op.Kind == Get && other.Kind == Get:
			op.Outcome, op.Value, op.Version = other.Outcome, other.Value, other.Version
		case op.Kind == Put && other.Kind == Put:
			op.Outcome = other.Outcome
			if op.Outcome == Maybe {
				op.Return = never
			}
		}
	case 2:
		if op.Kind == Get && op.Outcome == OK {
			op.Version += random.Uint64N(2)
		}
	}
}

func describe(ops []Op) string {
	var b strings.Builder
	for _, op := range ops {
		fmt.Fprintf(&b, "%d..%d %s\n", op.Call, op.Return, op)
	}
	return b.String()
}
