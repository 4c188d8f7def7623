package clerk

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"balsa.example/api"
	"balsa.example/internal/check/naive"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/kv"
)

// oracle is a store that knows what really happened to each attempt of one operation on
// one key, while others use the key too.
type oracle struct {
	store    *naive.Machine
	executed int // how often the operation took effect
	late     []lateAttempt
}

// lateAttempt is an attempt that was given up, and that may still arrive, or its reply.
type lateAttempt struct {
	number int
	req    *api.Request
	reply  *api.Reply // nil before it has arrived
}

const oracleKey = "k"

// execute applies an attempt of the operation.
func (o *oracle) execute(req *api.Request) (reply *api.Reply) {
	req = req.Copy()
	req.Key = []byte(oracleKey)
	h := (&nodetest.Node{Machine: o.store}).Handler()
	h.Handle(req, func(r *api.Reply) { reply = r })
	if reply.Code == api.Reply_OK && req.Kind != api.Request_GET {
		o.executed++
	}
	return reply
}

// others changes a key whatever its version.
func (o *oracle) others(kind kv.OpKind, key string) {
	(&nodetest.Node{Machine: o.store}).Do(kv.Op{Kind: kind, Key: key, Unconditional: true})
}

// bring brings the key to a version, as the operation may expect it.
func (o *oracle) bring(version uint64) {
	if o.store.Get(oracleKey).Version > version {
		o.others(kv.Delete, oracleKey)
	}
	for o.store.Get(oracleKey).Version < version {
		o.others(kv.Put, oracleKey)
	}
}

// interfere lets other clients change a key, or a late attempt or a late reply arrive. It
// returns the result of Op.Late, if that was called.
func (o *oracle) interfere(t *rapid.T, route *Route, version uint64, op *Op) (step Step, ok bool) {
	switch rapid.SampledFrom([]string{
		"nothing", "put", "delete", "bring", "other key", "late", "late", "late", "learn",
	}).Draw(t, "others") {
	case "put":
		o.others(kv.Put, oracleKey)
	case "delete":
		o.others(kv.Delete, oracleKey)
	case "bring":
		o.bring(version)
	case "other key":
		o.others(kv.Put, "other")
		o.others(kv.Delete, "other")
	case "late":
		if len(o.late) == 0 {
			break
		}
		i := rapid.IntRange(0, len(o.late)-1).Draw(t, "which")
		l := o.late[i]
		if l.reply == nil {
			l.reply = o.execute(l.req)
			if rapid.Bool().Draw(t, "reply too") {
				o.late[i] = l
				break
			}
		}
		o.late = append(o.late[:i], o.late[i+1:]...)
		if op != nil && rapid.Bool().Draw(t, "delivered") {
			return op.Late(l.number, l.reply)
		}
	case "learn": // by another operation of the same Clerk
		route.Reached(o.store.Revision())
	}
	return Step{}, false
}

// attempt decides what happens to one attempt, and tells the Op the result. ambiguous says
// that the Op cannot know whether it was executed.
func (o *oracle) attempt(t *rapid.T, op *Op, req *api.Request, number int) (step Step, ambiguous bool) {
	what := rapid.SampledFrom([]string{
		"answered", "answered", "reply lost", "late", "late", "late reply", "request lost", "unsent", "refused", "unknown", "unknown late",
	}).Draw(t, "attempt")
	if rapid.Bool().Draw(t, "knows more") {
		op.Sent(o.store.Revision())
	}
	switch what {
	case "answered":
		return op.Reply(o.execute(req)), false
	case "reply lost":
		o.execute(req)
		return op.Lost(true), true
	case "late":
		o.late = append(o.late, lateAttempt{number, req, nil})
		return op.Lost(true), true
	case "late reply":
		o.late = append(o.late, lateAttempt{number, req, o.execute(req)})
		return op.Lost(true), true
	case "request lost":
		return op.Lost(true), true
	case "unsent":
		return op.Lost(false), false
	case "unknown":
		o.execute(req)
		return op.Reply(&api.Reply{Code: api.Reply_UNKNOWN}), true
	case "unknown late":
		o.late = append(o.late, lateAttempt{number, req, nil})
		return op.Reply(&api.Reply{Code: api.Reply_UNKNOWN}), true
	default:
		code := rapid.SampledFrom([]api.Reply_Code{
			api.Reply_WRONG_LEADER, api.Reply_BUSY, api.Reply_UNAVAILABLE,
		}).Draw(t, "code")
		return op.Reply(&api.Reply{Code: code, Revision: o.store.Revision()}), false
	}
}

// TestVerdictsAreTrue compares the verdicts of operations with what the oracle knows,
// whatever happens to their attempts and whatever other clients do.
func TestVerdictsAreTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &oracle{store: naive.New(naive.Limits{})}
		expected := rapid.Uint64Range(0, 3).Draw(t, "expected")
		route := &Route{servers: []string{"a:1", "b:1", "c:1"}, nodes: make([]uint64, 3)}
		for range rapid.IntRange(0, 4).Draw(t, "past") {
			o.interfere(t, route, expected, nil)
		}
		route.revision = rapid.Uint64Range(0, o.store.Revision()).Draw(t, "known")
		req := &api.Request{
			Kind:          rapid.SampledFrom([]api.Request_Kind{api.Request_GET, api.Request_PUT, api.Request_DELETE}).Draw(t, "kind"),
			Unconditional: rapid.IntRange(0, 3).Draw(t, "unconditional") == 0,
		}
		if !req.Unconditional {
			req.Version = expected
		}
		op := NewOp(route, zero{}, testPace, req)
		ambiguous := false
		step := op.Start()
		for step.Action != End {
			if next, ok := o.interfere(t, route, expected, &op); ok {
				step = next
				continue
			}
			if rapid.IntRange(0, 9).Draw(t, "cancel") == 0 {
				step = op.Cancel(false)
				break
			}
			if step.Action == Wait {
				step = op.WaitDone()
				continue
			}
			var a bool
			step, a = o.attempt(t, &op, attemptOf(req, step), step.Attempt)
			ambiguous = ambiguous || a
		}
		executedByEnd := o.executed
		for len(o.late) > 0 {
			o.interfere(t, route, expected, nil)
		}
		o.judge(t, &op, req, ambiguous, executedByEnd)
	})
}

// zero is no jitter.
type zero struct{}

func (zero) Uint64() uint64 { return 0 }

// judge compares an Outcome with what really happened.
func (o *oracle) judge(t *rapid.T, op *Op, req *api.Request, ambiguous bool, executedByEnd int) {
	out := op.Outcome()
	said := fmt.Sprint(out.Verdict, " ", out.Reply.GetCode())
	write := req.Kind != api.Request_GET
	if o.executed > 1 {
		t.Fatalf("%s: executed %d times", said, o.executed)
	}
	switch out.Verdict {
	case Maybe:
		if !write || !ambiguous {
			t.Fatalf("%s, although no attempt is in doubt", said)
		}
	case Dropped:
		if o.executed > 0 {
			t.Fatalf("%s, but it was executed", said)
		}
	case Answered:
		ok := out.Reply.Code == api.Reply_OK
		switch {
		case !write:
		case ok && executedByEnd == 0:
			t.Fatalf("%s, but it was not executed", said)
		case !ok && o.executed > 0:
			t.Fatalf("%s, but it was executed", said)
		}
	}
}
