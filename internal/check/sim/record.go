package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// record is the history of one operation: what the client has observed, and what really
// happened.
type record struct {
	id       int
	client   int
	key      string
	req      *api.Request
	called   Instant
	returned Instant
	verdict  clerk.Verdict // 0: still under way
	reply    *api.Reply
	attempts int
	doubt    bool   // an attempt that may have been sent got no answer
	reached  uint64 // the store revision that the client knew before an attempt was in doubt
	done     bool   // a reply has said OK

	// What really happened.
	executed []execution // the attempts that took effect
	logged   []int       // attempts that are committed
	refused  []int       // attempts that were certainly not executed
	limits   []kv.Code   // why attempts were refused by a quota or an alarm
}

// execution is where in the log an attempt took effect.
type execution struct {
	index   raft.Index
	attempt int
	at      Instant
	result  kv.Result
}

func (r *record) String() string {
	s := fmt.Sprintf("operation %d of client %d: %s %s", r.id, r.client, r.req.Kind, r.key)
	if !r.req.Unconditional {
		s += fmt.Sprintf(" at version %d", r.req.Version)
	}
	return s + fmt.Sprintf(", %v to %v, %d attempts, verdict %d %s version %d modified %d revision %d, executed %v", r.called, r.returned, r.attempts,
		r.verdict, r.reply.GetCode(), r.reply.GetVersion(), r.reply.GetModRevision(), r.reply.GetRevision(), r.executed)
}

func (r *record) write() bool { return r.req.Kind != api.Request_GET }

// execute notes the result of the attempt that a committed entry holds.
func (k *checker) execute(op kv.Op, index raft.Index, result kv.Result) {
	r := k.w.records[binary.LittleEndian.Uint64(op.Value)]
	number := int(binary.LittleEndian.Uint16(op.Value[8:]))
	if slices.Contains(r.logged, number) {
		k.w.failf("executed twice", "attempt %d of %s", number, r)
	}
	if slices.Contains(r.refused, number) {
		k.w.failf("refused but executed", "attempt %d of %s", number, r)
	}
	r.logged = append(r.logged, number)
	if limited(result.Code) {
		r.limits = append(r.limits, result.Code)
	}
	if result.Code == kv.CodeOK {
		r.executed = append(r.executed, execution{index, number, k.w.now, result})
	}
}

// executed checks that the result for an attempt, and the entry that is named with it, are those
// of that attempt.
func (k *checker) executed(n *node, x *waiter, entry rsm.EntryID) {
	if x.forwarded {
		k.counts.Forwards++
	}
	c := &k.committed[entry.Index-1]
	if data, _ := rsm.Operation(c.entry); c.entry.Term != entry.Term || !bytes.Equal(data, x.data) {
		k.w.failf("result of another entry", "%s tells the result of %s, of %+v, to who wants that of %q", n.id, c.entry, entry, x.data)
	}
}

// submitEnded checks that an attempt which ended with ErrWrongLeader or ErrBusy is never
// executed.
func (k *checker) submitEnded(n *node, x *waiter, err error) {
	if errors.Is(err, rsm.ErrUnknown) && x.forwarded {
		k.counts.UnknownForwards++
	}
	if !errors.Is(err, rsm.ErrWrongLeader) && !errors.Is(err, rsm.ErrBusy) && !errors.Is(err, rsm.ErrWitness) {
		return
	}
	r := x.attempt.record
	if r == nil {
		if x.unique && k.logged[string(x.data)] {
			k.w.failf("refused but executed", "%s says %v of %q", n.id, err, x.data)
		}
		k.refused[string(x.data)] = x.unique
		return
	}
	if slices.Contains(r.logged, x.attempt.number) {
		k.w.failf("refused but executed", "%s says %v to attempt %d of %s", n.id, err, x.attempt.number, r)
	}
	r.refused = append(r.refused, x.attempt.number)
}

// ended notes the outcome that the client gets.
func (r *record) ended(w *world, out clerk.Outcome) {
	r.returned, r.verdict, r.reply = w.now, out.Verdict, out.Reply
	w.trace.numbers(w.now, raft.None, "outcome", uint64(r.id), uint64(out.Verdict), uint64(out.Reply.GetCode()))
	if w.diverging != nil {
		return
	}
	if r.limited() {
		w.check.counts.Limited++
	}
	if out.Verdict == clerk.Maybe && r.falseMaybe() {
		w.failf("false ErrMaybe", "the replies tell more: %s", r)
	}
	if out.Verdict == clerk.Answered && out.Reply.Code == api.Reply_OK && r.write() && len(r.executed) == 0 {
		w.failf("acknowledged but not committed", "%s", r)
	}
}

// told notes a reply that the client has received.
func (r *record) told(reply *api.Reply) {
	switch reply.Code {
	case api.Reply_UNKNOWN:
		r.doubt = true
	case api.Reply_OK:
		r.done = r.write()
	}
}

// falseMaybe tells whether the client could have known more than ErrMaybe says. Of the
// refusals because of the key it knows the simple cases; the tests of package clerk check
// all of them.
func (r *record) falseMaybe() bool {
	if !r.doubt || r.done || !r.write() {
		return true
	}
	k, put := r.reply, r.req.Kind == api.Request_PUT
	switch {
	case r.req.Unconditional || k == nil || k.Revision == 0 || r.limited(): // the reply does not describe the key
		return false
	case k.Version == 0: // the key was not deleted since, so that a Put would be visible
		return k.DeleteRevision <= r.reached
	case k.ModRevision <= r.reached: // the key was not changed since
		return true
	case put: // the key is not beyond the expected version, and was not deleted since
		return k.Version <= r.req.Version && min(k.CreateRevision, k.DeleteRevision) <= r.reached
	default: // the key was not deleted since
		return min(k.CreateRevision, k.DeleteRevision) <= r.reached
	}
}

// ending checks the whole history, when no operation is under way any more.
func (k *checker) ending() {
	for _, r := range k.w.records {
		if r.verdict != 0 && r.write() {
			k.verdict(r)
		}
	}
	k.replay()
	k.leases()
	k.linearizable()
}

// verdict checks that the outcome of a write is true.
func (k *checker) verdict(r *record) {
	n := len(r.executed)
	ok := r.reply.GetCode() == api.Reply_OK
	switch {
	case n > 1:
		k.w.failf("executed twice", "%s", r)
	case r.verdict == clerk.Dropped && n > 0:
		k.w.failf("dropped but executed", "%s", r)
	case r.verdict != clerk.Answered:
	case r.limited() && !slices.Contains(r.limits, replyCodes[r.reply.Code]):
		k.w.failf("wrong answer", "no quota and no alarm has refused %s", r)
	case ok && n == 0:
		k.w.failf("acknowledged but lost", "%s", r)
	case !ok && n > 0:
		k.w.failf("refused but executed", "%s", r)
	case ok && !slices.ContainsFunc(r.executed, func(e execution) bool {
		return e.result.Version == r.reply.Version && e.result.ModRevision == r.reply.ModRevision && e.result.Revision == r.reply.Revision && e.at <= r.returned
	}):
		k.w.failf("wrong answer", "%s", r)
	}
}
