//balsa:pure

package translate

import (
	"unsafe"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/state"
)

// From the results of package kv to the messages of package api. Values share the memory of a
// result.

// room is what a reply may still hold of keys. The first one always has room: it may be
// larger than all of it. cut tells that something had none.
type room struct {
	keys, bytes int64
	cut         bool
}

// take tells whether there is room for one key more, of such a size.
func (r *room) take(bytes int) bool {
	if r.keys <= 0 || r.bytes <= 0 {
		r.cut = true
		return false
	}
	r.keys, r.bytes = r.keys-1, r.bytes-int64(bytes)
	return true
}

func fillEntry(to *api.Entry, e *kv.Entry) {
	to.Key, to.Value, to.Version = bytesOf(e.Key), e.Value, e.Version
	to.CreateRevision, to.ModRevision, to.Lease = e.CreateRevision, e.ModRevision, e.Lease
}

func entryOf(e *kv.Entry, r *room) *api.Entry {
	if e == nil || !r.take(len(e.Key)+len(e.Value)) {
		return nil
	}
	entry := new(api.Entry)
	fillEntry(entry, e)
	return entry
}

// entriesOf is the first of the entries, as many as there is room for.
func entriesOf(entries []kv.Entry, r *room) []*api.Entry {
	n := 0
	for n < len(entries) && r.take(len(entries[n].Key)+len(entries[n].Value)) {
		n++
	}
	array, all := make([]api.Entry, n), make([]*api.Entry, n)
	for i := range array {
		fillEntry(&array[i], &entries[i])
		all[i] = &array[i]
	}
	return all
}

func rangeReply(r *kv.RangeResult, left *room) *api.RangeReply {
	entries := entriesOf(r.Entries, left)
	return &api.RangeReply{
		Entries: entries, Count: uint64(r.Count), More: r.More || len(entries) < len(r.Entries),
	}
}

func deleteReply(r *kv.DeleteResult, left *room) *api.DeleteRangeReply {
	left.cut = left.cut || r.More
	return &api.DeleteRangeReply{Deleted: uint64(r.Deleted), Prev: entriesOf(r.Prev, left)}
}

func txnReply(r *kv.TxnResult, left *room) *api.TxnReply {
	reply := &api.TxnReply{Succeeded: r.Succeeded, Replies: make([]*api.OpReply, len(r.Responses))}
	for i := range r.Responses {
		reply.Replies[i] = opReply(&r.Responses[i], left)
	}
	return reply
}

func opReply(r *kv.OpResult, left *room) *api.OpReply {
	switch {
	case r.Range != nil:
		left.cut = left.cut || r.Range.More && len(r.Range.Entries) == 0 // a range with a limit has a key
		return &api.OpReply{Op: &api.OpReply_Range{Range: rangeReply(r.Range, left)}}
	case r.Put != nil:
		left.cut = left.cut || r.Put.More
		return &api.OpReply{Op: &api.OpReply_Put{Put: &api.PutReply{Prev: entryOf(r.Put.Prev, left)}}}
	case r.Delete != nil:
		return &api.OpReply{Op: &api.OpReply_DeleteRange{DeleteRange: deleteReply(r.Delete, left)}}
	case r.Txn != nil:
		return &api.OpReply{Op: &api.OpReply_Txn{Txn: txnReply(r.Txn, left)}}
	}
	return new(api.OpReply)
}

// bytesOf returns s as bytes that share its memory. They must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// Shorten takes what is large out of the reply to a write that was executed.
func Shorten(r *api.Reply) {
	switch result := r.Result.(type) {
	case *api.Reply_Txn:
		r.Result = &api.Reply_Txn{Txn: &api.TxnReply{Succeeded: result.Txn.GetSucceeded()}}
	case *api.Reply_DeleteRange:
		r.Result = &api.Reply_DeleteRange{DeleteRange: &api.DeleteRangeReply{Deleted: result.DeleteRange.GetDeleted()}}
	case *api.Reply_Lease:
		// Without its time to live, the lease would look as if it were gone.
		l := result.Lease
		r.Result = &api.Reply_Lease{Lease: &api.LeaseReply{Id: l.GetId(), TtlMs: l.GetTtlMs(), GrantedMs: l.GetGrantedMs(), Session: l.GetSession()}}
	default:
		r.Result = nil
	}
	r.Incomplete = true
}

// outcome is the reply to an executed command, without the addition of its kind.
func (h *Handler) outcome(id uint64, r state.Result) *api.Reply {
	reply := h.result(id, r.Result)
	if !r.Replayed {
		return reply
	}
	reply.DoneAt = r.DoneAt
	switch r.Kept {
	case state.KeptRevision:
		unknownOutcome(reply)
	case state.KeptCode:
		reply.Revision, reply.Incomplete = r.DoneAt, true
	}
	return reply
}

// unknownOutcome makes the reply to a write that was executed before, of which the session has
// not kept enough to tell what came of it.
func unknownOutcome(reply *api.Reply) {
	reply.Code, reply.Message = api.Reply_UNKNOWN, "executed before, and the session has not kept the outcome"
}

// result is the reply to an executed operation on one key.
func (h *Handler) result(id uint64, r kv.Result) *api.Reply {
	reply := h.newReply()
	reply.Id, reply.Value, reply.Version = id, r.Value, r.Version
	reply.CreateRevision, reply.ModRevision, reply.Revision = r.CreateRevision, r.ModRevision, r.Revision
	reply.DeleteRevision, reply.KeyLease = r.DeleteRevision, r.Lease
	if r.Code != kv.CodeOK {
		refused(reply, r.Code)
	}
	return reply
}
