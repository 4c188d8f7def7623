package sim

import (
	"bytes"
	"encoding/binary"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/history"
	"balsa.example/kv"
	"balsa.example/state"
)

// replay checks all that clients have seen in the order of revisions.
func (k *checker) replay() {
	calls := make([]history.Call, 0, len(k.w.records)+len(k.w.calls))
	for _, r := range k.w.records {
		if c, ok := r.call(); ok {
			calls = append(calls, c)
		}
	}
	for _, x := range k.w.calls {
		if x.kind() == state.KindTick {
			continue // its answer tells no revision: see leases
		}
		if x.over && (x.Known || x.doubt) || !x.over {
			calls = append(calls, *x.Call)
		}
	}
	if err := history.CheckCalls(calls, k.history()); err != nil {
		k.w.failf("order of revisions", "%v", err)
	}
}

// history returns the events of all revisions from 2 on.
func (k *checker) history() (committed [][]kv.Event) {
	for r := uint64(2); r <= k.truth.Revision(); r++ {
		committed = append(committed, k.truth.Events(r))
	}
	return committed
}

// call returns an operation of a Clerk as a call, false if it tells nothing.
func (r *record) call() (c history.Call, ok bool) {
	c = history.Call{
		Client: -1 - r.client, Called: int64(r.called), Returned: int64(r.returned),
		Known: r.verdict == clerk.Answered, Stale: r.req.Consistency == api.Request_LOCAL,
	}
	op := kv.Op{Key: r.key, Version: r.req.Version, Unconditional: r.req.Unconditional}
	switch r.req.Kind {
	case api.Request_GET:
		op.Kind = kv.Get
	case api.Request_PUT:
		op.Kind = kv.Put
	default:
		op.Kind = kv.Delete
	}
	if op.Kind == kv.Put {
		op.Value = bytes.Clone(r.req.Value)
	}
	if op.Kind == kv.Put && len(r.executed) > 0 { // the value tells which attempt took effect
		binary.LittleEndian.PutUint16(op.Value[8:], uint16(r.executed[0].attempt))
	}
	c.Command = state.Command{Op: op}
	if !c.Known {
		return c, len(r.executed) > 0
	}
	if r.limited() {
		return c, false
	}
	c.Result = state.Result{Result: kv.Result{
		Code: replyCodes[r.reply.Code], Value: r.reply.Value, Version: r.reply.Version,
		CreateRevision: r.reply.CreateRevision, ModRevision: r.reply.ModRevision, Lease: r.reply.KeyLease, Revision: r.reply.Revision,
	}}
	return c, true
}

// replyCodes are the codes of the store that a Clerk's answer may have.
var replyCodes = map[api.Reply_Code]kv.Code{
	api.Reply_OK: kv.CodeOK, api.Reply_VERSION_MISMATCH: kv.CodeVersion, api.Reply_NO_KEY: kv.CodeNoKey, api.Reply_CHANGED: kv.CodeChanged,
	api.Reply_QUOTA: kv.CodeQuota, api.Reply_NO_SPACE: kv.CodeNoSpace, api.Reply_CORRUPT: kv.CodeCorrupt,
}
