//balsa:pure

package translate

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/rsm"
	"balsa.example/state"
)

const (
	nsPerMs = 1_000_000
	// MaxTxnReplyBytes and MaxTxnReplyKeys are what one reply to a transaction has of keys and
	// values at most, and one key more. Two of the largest values are always allowed: see roomOfTxn.
	MaxTxnReplyBytes = 8 << 20
	MaxTxnReplyKeys  = 32 << 10
	// totalOpsFactor times Limits.MaxTxnOps, and at most maxTotalOps, is how many compares and operations a
	// transaction may have with all that are nested in it.
	totalOpsFactor = 32
	maxTotalOps    = 32 << 10
)

// command answers a write that is more than an operation on one key.
func (h *Handler) command(req *api.Request, trail *Trail, reply func(*api.Reply)) {
	more, add, err := h.moreOf(req)
	if err == nil {
		err = checkSession(req)
	}
	if err != nil {
		reply(refusal(req.Id, err))
		return
	}
	more.Session = sessionOf(req)
	h.named(more)
	id := req.Id
	if short := h.refuses(state.Command{More: more}); short != "" {
		reply(Busy(id, short))
		return
	}
	if more.Kind == state.KindGrant || more.Kind == state.KindRevoke {
		if more.Stamp, err = h.Time.Stamp(); err != nil {
			reply(h.writeFailed(id, err))
			return
		}
	}
	h.Replica.SubmitEntryFunc(state.Command{More: more}, func(r state.Result, entry rsm.EntryID, err error) {
		trail.entered(entry)
		if err != nil {
			reply(h.writeFailed(id, err))
			return
		}
		answer := h.outcome(id, r)
		if answer.Code == api.Reply_OK && add != nil {
			add(r, answer)
		}
		reply(answer)
	})
}

// moreOf is the command of a request, and the addition to the reply, nil if there is none.
func (h *Handler) moreOf(req *api.Request) (*state.More, addition, error) {
	switch call := req.Call.(type) {
	case *api.Request_Txn:
		if req.Kind == api.Request_TXN {
			return h.txnCommand(call.Txn)
		}
	case *api.Request_Put:
		if req.Kind == api.Request_PUT {
			return h.putCommand(req, call.Put)
		}
	case *api.Request_DeleteRange:
		if req.Kind == api.Request_DELETE_RANGE {
			return h.deleteCommand(call.DeleteRange)
		}
	case *api.Request_Compact:
		if req.Kind == api.Request_COMPACT {
			return &state.More{Kind: state.KindCompact, Revision: call.Compact.GetRevision()}, nil, nil
		}
	case *api.Request_Lease:
		switch req.Kind {
		case api.Request_LEASE_GRANT:
			return h.grantCommand(req, call.Lease)
		case api.Request_LEASE_REVOKE:
			return h.revokeCommand(call.Lease)
		}
	case *api.Request_Quota:
		if req.Kind == api.Request_SET_QUOTA {
			return quotaCommand(call.Quota)
		}
	}
	return nil, nil, fmt.Errorf("call is not one of a %s", req.Kind)
}

// addition adds to the reply to a write what only its kind of result has. If the session has kept
// the code only, a transaction's result has no responses.
type addition func(state.Result, *api.Reply)

func (h *Handler) txnCommand(t *api.Txn) (*state.More, addition, error) {
	txn, err := txnOf(t, 0)
	if err == nil {
		err = h.checkTxn(txn)
	}
	return &state.More{Kind: state.KindTxn, Txn: txn}, func(r state.Result, reply *api.Reply) {
		left := h.roomOfTxn()
		reply.Result = &api.Reply_Txn{Txn: txnReply(r.Txn, left)}
		reply.Incomplete = reply.Incomplete || left.cut
	}, err
}

func (h *Handler) roomOfTxn() *room {
	value := cmp.Or(h.Limits.MaxValueBytes, kv.DefaultLimits.MaxValueBytes)
	return &room{keys: MaxTxnReplyKeys, bytes: max(MaxTxnReplyBytes, 2*int64(value))}
}

// checkTxn bounds the ranges of a transaction, and returns why it may not be submitted, if so.
func (h *Handler) checkTxn(txn *kv.Txn) error {
	if err := txn.Validate(h.Limits); err != nil {
		return err
	}
	size := sizeOf(txn)
	if most := min(totalOpsFactor*cmp.Or(h.Limits.MaxTxnOps, kv.DefaultLimits.MaxTxnOps), maxTotalOps); size.ops > most {
		return fmt.Errorf("the transaction has %d compares and operations, those of nested ones included, the limit is %d: %w", size.ops, most, kv.ErrTooManyOps)
	}
	if most := h.maxPutBytes(); size.bytes > most {
		return fmt.Errorf("the transaction has %d bytes of keys and values, the limit is %d: %w", size.bytes, most, kv.ErrTooLarge)
	}
	boundRanges(txn)
	return nil
}

// maxPutBytes is what the largest put has of key and value. A transaction may have as much.
func (h *Handler) maxPutBytes() int {
	return cmp.Or(h.Limits.MaxKeyBytes, kv.DefaultLimits.MaxKeyBytes) + cmp.Or(h.Limits.MaxValueBytes, kv.DefaultLimits.MaxValueBytes)
}

// txnSize is how much a transaction has, with all that are nested in it.
type txnSize struct{ ops, bytes int }

func sizeOf(txn *kv.Txn) (size txnSize) {
	size.ops = len(txn.If) + len(txn.Then) + len(txn.Else)
	for i := range txn.If {
		c := &txn.If[i]
		size.bytes += len(c.From) + len(c.To) + len(c.Value)
	}
	for op := range opsIn(txn) {
		switch {
		case op.Range != nil:
			size.bytes += len(op.Range.From) + len(op.Range.To)
		case op.Put != nil:
			size.bytes += len(op.Put.Key) + len(op.Put.Value)
		case op.Delete != nil:
			size.bytes += len(op.Delete.From) + len(op.Delete.To)
		case op.Txn != nil:
			nested := sizeOf(op.Txn)
			size.ops, size.bytes = size.ops+nested.ops, size.bytes+nested.bytes
		}
	}
	return size
}

// boundRanges lets each range of a transaction be a page at most.
func boundRanges(txn *kv.Txn) {
	for op := range opsIn(txn) {
		switch {
		case op.Range != nil:
			boundPage(op.Range)
		case op.Txn != nil:
			boundRanges(op.Txn)
		}
	}
}

// opsIn yields the operations of both lists of a transaction.
func opsIn(txn *kv.Txn) func(yield func(*kv.TxnOp) bool) {
	return func(yield func(*kv.TxnOp) bool) {
		for _, list := range [][]kv.TxnOp{txn.Then, txn.Else} {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

// putCommand is a PUT that says more than an operation on one key does. It is a transaction,
// which looks at the key afterwards, or else tells which version was there.
func (h *Handler) putCommand(req *api.Request, p *api.Put) (*state.More, addition, error) {
	put, err := putOf(p)
	switch {
	case err != nil:
		return nil, nil, err
	case put.Key != "" || len(put.Value) > 0 || put.IgnoreValue:
		return nil, nil, errors.New("put has a key, a value or ignore_value, which a PUT has in its own fields")
	case req.UnchangedSince != 0 || req.Attempt != api.Request_ANY:
		return nil, nil, errors.New("unchanged_since or attempt is set, and put, too: use a session")
	}
	put.Key, put.Value = string(req.Key), req.Value
	look := []kv.TxnOp{{Range: &kv.RangeOp{Span: kv.Single(put.Key), KeysOnly: true}}}
	txn := &kv.Txn{Then: append([]kv.TxnOp{{Put: put}}, look...)}
	if !req.Unconditional {
		txn.If = []kv.Compare{{Span: kv.Single(put.Key), Target: kv.TargetVersion, Number: req.Version}}
		txn.Else = look
	}
	return &state.More{Kind: state.KindTxn, Txn: txn}, addPut, txn.Validate(h.Limits)
}

// addPut turns the result of putCommand's transaction into that of a put.
func addPut(r state.Result, reply *api.Reply) {
	responses := r.Txn.Responses
	if len(responses) == 0 {
		if !r.Txn.Succeeded { // at another version, or absent
			unknownOutcome(reply)
		}
		return
	}
	entry := new(kv.Entry)
	if found := responses[len(responses)-1].Range.Entries; len(found) > 0 {
		entry = &found[0]
	}
	reply.Version, reply.CreateRevision, reply.ModRevision, reply.KeyLease = entry.Version, entry.CreateRevision, entry.ModRevision, entry.Lease
	switch {
	case !r.Txn.Succeeded && entry.Version == 0:
		reply.Code = api.Reply_NO_KEY
	case !r.Txn.Succeeded:
		reply.Code = api.Reply_VERSION_MISMATCH
	case responses[0].Put.Prev != nil:
		reply.Result = &api.Reply_Prev{Prev: entryOf(responses[0].Put.Prev, &room{keys: 1, bytes: 1})}
	}
}

func (h *Handler) deleteCommand(d *api.DeleteRange) (*state.More, addition, error) {
	op, err := deleteOf(d)
	txn := &kv.Txn{Then: []kv.TxnOp{{Delete: op}}}
	if err == nil {
		err = txn.Validate(h.Limits)
	}
	return &state.More{Kind: state.KindTxn, Txn: txn}, func(r state.Result, reply *api.Reply) {
		if len(r.Txn.Responses) == 0 {
			return
		}
		left := h.roomOfTxn()
		reply.Result = &api.Reply_DeleteRange{DeleteRange: deleteReply(r.Txn.Responses[0].Delete, left)}
		reply.Incomplete = left.cut
	}, err
}

func (h *Handler) grantCommand(req *api.Request, l *api.Lease) (*state.More, addition, error) {
	switch {
	case l.GetId() < 0:
		return nil, nil, errLeaseID(l.Id)
	case l.GetId() == 0 && req.Session != nil:
		// A draw of each attempt would not be the one that the session remembers.
		return nil, nil, errors.New("id of lease is 0, and session is set: draw the id yourself")
	case l.GetTtlMs() == 0 || l.TtlMs > math.MaxInt64/nsPerMs:
		return nil, nil, fmt.Errorf("ttl_ms of lease is %d, and must be 1 to %d: %w", l.GetTtlMs(), int64(math.MaxInt64/nsPerMs), kv.ErrLeaseTTL)
	}
	id := l.Id
	if id == 0 {
		id = h.Draw()
	}
	more := &state.More{
		Kind:  state.KindGrant,
		Lease: id, TTL: max(int64(l.TtlMs)*nsPerMs, h.MinTTL), IsSession: l.Session,
	}
	return more, func(r state.Result, reply *api.Reply) {
		lease := &api.LeaseReply{Id: id, Session: more.IsSession}
		if len(r.TTL) == 1 {
			lease.TtlMs, lease.GrantedMs = msOf(r.TTL[0]), msOf(r.TTL[0])
		}
		reply.Result = &api.Reply_Lease{Lease: lease}
	}, nil
}

func (h *Handler) revokeCommand(l *api.Lease) (*state.More, addition, error) {
	if l.GetId() <= 0 {
		return nil, nil, errLeaseID(l.GetId())
	}
	return &state.More{Kind: state.KindRevoke, Lease: l.Id}, nil, nil
}

func quotaCommand(q *api.Quota) (*state.More, addition, error) {
	if q.GetBytes() > math.MaxInt64 {
		return nil, nil, fmt.Errorf("bytes of quota is %d, and must be at most %d", q.Bytes, int64(math.MaxInt64))
	}
	return &state.More{Kind: state.KindQuota, Quota: int64(q.GetBytes())}, nil, nil
}

// msOf rounds nanoseconds up, so that what still lives never has 0.
func msOf(ns int64) uint64 { return (uint64(max(ns, 0)) + nsPerMs - 1) / nsPerMs }
