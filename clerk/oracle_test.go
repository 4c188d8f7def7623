package clerk

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"balsa/api"
)

// oracle is a server that knows what really happened to each attempt of one operation
// on one key, while others use the key too.
type oracle struct {
	version, created, modified uint64 // of the key; version 0: absent
	revision                   uint64 // of the store
	others                     int    // effective Deletes by others since the operation began
	executed                   int    // how often the operation took effect
	late                       []*api.Request
}

// execute applies an attempt of the operation.
func (o *oracle) execute(req *api.Request) *api.Reply {
	r := o.apply(req)
	if r.Code == api.Reply_OK && req.Kind != api.Request_GET {
		o.executed++
	}
	return r
}

func (o *oracle) apply(req *api.Request) *api.Reply {
	reply := &api.Reply{}
	isPut := req.Kind == api.Request_PUT
	switch {
	case o.version == 0 && (!isPut || req.Conditional && req.Version > 0):
		reply.Code = api.Reply_NO_KEY
	case req.Kind == api.Request_GET:
	case req.Conditional && req.Version != o.version:
		reply.Code = api.Reply_VERSION_MISMATCH
	case isPut:
		o.revision++
		if o.version == 0 {
			o.created = o.revision
		}
		o.version, o.modified = o.version+1, o.revision
	default:
		o.revision++
		o.version, o.created, o.modified = 0, 0, 0
	}
	reply.Version, reply.CreateRevision, reply.ModRevision = o.version, o.created, o.modified
	reply.Revision = o.revision
	return reply
}

// interfere lets others do something, and a late attempt arrive.
func (o *oracle) interfere(t *rapid.T, deletes bool) {
	what := rapid.SampledFrom([]string{"nothing", "put", "other key", "late", "delete"}).Draw(t, "others")
	switch {
	case what == "put":
		o.apply(&api.Request{Kind: api.Request_PUT})
	case what == "other key":
		o.revision++
	case what == "late" && len(o.late) > 0:
		o.execute(o.late[0])
		o.late = o.late[1:]
	case what == "delete" && deletes:
		if o.apply(&api.Request{Kind: api.Request_DELETE}).Code == api.Reply_OK {
			o.others++
		}
	}
}

// attempt decides what becomes of one attempt and tells the Op. Left says whether the
// request certainly did not leave.
func (o *oracle) attempt(t *rapid.T, op *Op, req *api.Request) (step Step, ambiguous bool) {
	what := rapid.SampledFrom([]string{
		"answered", "answered", "reply lost", "late", "request lost", "unsent", "refused", "unknown", "unknown late",
	}).Draw(t, "attempt")
	switch what {
	case "answered":
		return op.Reply(o.execute(req)), false
	case "reply lost":
		o.execute(req)
		return op.Lost(true), true
	case "late":
		o.late = append(o.late, req)
		return op.Lost(true), true
	case "request lost":
		return op.Lost(true), true
	case "unsent":
		return op.Lost(false), false
	case "unknown":
		o.execute(req)
		return op.Reply(&api.Reply{Code: api.Reply_UNKNOWN}), true
	case "unknown late":
		o.late = append(o.late, req)
		return op.Reply(&api.Reply{Code: api.Reply_UNKNOWN}), true
	default:
		code := rapid.SampledFrom([]api.Reply_Code{
			api.Reply_WRONG_LEADER, api.Reply_BUSY, api.Reply_UNAVAILABLE,
		}).Draw(t, "code")
		return op.Reply(&api.Reply{Code: code, Revision: o.revision}), false
	}
}

// TestVerdictsAreTrue lets the oracle judge what operations say of themselves, whatever
// happens to their attempts and whatever others do.
func TestVerdictsAreTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		deletes := rapid.Bool().Draw(t, "others delete")
		o := &oracle{revision: 1}
		for range rapid.IntRange(0, 4).Draw(t, "version") {
			o.apply(&api.Request{Kind: api.Request_PUT})
		}
		route := &Route{servers: []string{"a:1", "b:1", "c:1"}, nodes: make([]uint64, 3)}
		route.revision = rapid.Uint64Range(0, o.revision).Draw(t, "seen")
		req := &api.Request{
			Kind:        rapid.SampledFrom([]api.Request_Kind{api.Request_GET, api.Request_PUT, api.Request_DELETE}).Draw(t, "kind"),
			Conditional: rapid.Bool().Draw(t, "conditional"),
			Version:     rapid.Uint64Range(0, 5).Draw(t, "expected"),
		}
		op := NewOp(route, zero{}, testPace, req)
		ambiguous := false
		step := op.Start()
		for step.Action != End {
			o.interfere(t, deletes)
			if rapid.IntRange(0, 9).Draw(t, "cancel") == 0 {
				step = op.Cancel(false)
				break
			}
			if step.Action == Wait {
				step = op.Woke()
				continue
			}
			var a bool
			step, a = o.attempt(t, &op, req)
			ambiguous = ambiguous || a
		}
		executedByEnd, deletesByEnd := o.executed, o.others
		for len(o.late) > 0 {
			o.interfere(t, deletes)
		}
		o.judge(t, &op, req, ambiguous, executedByEnd, deletesByEnd)
	})
}

// zero is no jitter.
type zero struct{}

func (zero) Uint64() uint64 { return 0 }

// judge compares an Outcome with the truth. A version is met twice only if others have
// deleted the key, so that is where the promise ends; see Op.
func (o *oracle) judge(t *rapid.T, op *Op, req *api.Request, ambiguous bool, executedByEnd, deletesByEnd int) {
	out := op.Outcome()
	said := fmt.Sprint(out.Verdict, " ", out.Reply.GetCode())
	write := req.Kind != api.Request_GET
	if o.executed > 1 && (o.others == 0 || !op.again) {
		t.Fatalf("%s: executed %d times", said, o.executed)
	}
	switch out.Verdict {
	case Maybe:
		if !write || !ambiguous {
			t.Fatalf("%s, although no attempt is in doubt", said)
		}
	case Dropped:
		if write && (ambiguous || o.executed > 0) {
			t.Fatalf("%s, but executed %d times", said, o.executed)
		}
	case Answered:
		ok := out.Reply.Code == api.Reply_OK
		switch {
		case !write:
		case ok && executedByEnd == 0:
			t.Fatalf("%s, but it was not executed", said)
		case !ok && executedByEnd > 0:
			t.Fatalf("%s, but it was executed", said)
		case !ok && o.executed > 0 && o.others == deletesByEnd:
			t.Fatalf("%s, but it was executed afterwards", said)
		}
	}
}
