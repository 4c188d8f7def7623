package native

import (
	"balsa.example/api"
	"balsa.example/internal/frontend/native/translate"
)

// What requests and replies count for is about what they take in memory.

const (
	// requestOverhead is what a request counts for beyond its key and value, in bytes:
	// about what it costs in memory.
	requestOverhead = 256
	// partOverhead is what a compare, an operation or an operation's reply takes besides its
	// bytes, and entryOverhead is that of a key that was found.
	partOverhead  = 256
	entryOverhead = 160
	// expectedEntry is how large each key is expected to be of which a range finds a few.
	expectedEntry = 4 << 10
)

// costOf is what a request counts for, in bytes.
func costOf(req *api.Request) int64 {
	cost := int64(len(req.Key) + len(req.Value) + len(req.Trace) + requestOverhead)
	switch call := req.Call.(type) {
	case nil:
	case *api.Request_Txn:
		cost += costOfTxn(call.Txn)
	case *api.Request_Range:
		cost += costOfSpan(call.Range.GetSpan())
	case *api.Request_DeleteRange:
		cost += costOfSpan(call.DeleteRange.GetSpan())
	case *api.Request_Put:
		cost += costOfPut(call.Put)
	case *api.Request_Lease:
		cost += partOverhead + int64(8*len(call.Lease.GetOthers()))
	default:
		cost += partOverhead
	}
	return cost
}

func costOfSpan(s *api.Span) int64 {
	return int64(len(s.GetFrom())+len(s.GetTo())) + partOverhead
}

func costOfPut(p *api.Put) int64 {
	return int64(len(p.GetKey())+len(p.GetValue())) + partOverhead
}

func costOfTxn(t *api.Txn) int64 {
	cost := int64(partOverhead)
	for _, c := range t.GetCompares() {
		cost += costOfSpan(c.Span) + int64(len(c.Value))
	}
	for op := range opsIn(t) {
		switch op := op.Op.(type) {
		case *api.TxnOp_Range:
			cost += costOfSpan(op.Range.GetSpan())
		case *api.TxnOp_Put:
			cost += costOfPut(op.Put)
		case *api.TxnOp_DeleteRange:
			cost += costOfSpan(op.DeleteRange.GetSpan())
		case *api.TxnOp_Txn:
			cost += costOfTxn(op.Txn)
		}
	}
	return cost
}

// opsIn yields the operations of both lists of a transaction.
func opsIn(t *api.Txn) func(yield func(*api.TxnOp) bool) {
	return func(yield func(*api.TxnOp) bool) {
		for _, list := range [2][]*api.TxnOp{t.GetThen(), t.GetElse()} {
			for _, op := range list {
				if !yield(op) {
					return
				}
			}
		}
	}
}

// expectedOf is what the reply to a request is expected to count for. A request counts for that
// from the beginning, so that a client does not have more reads in progress than it may have
// replies. The value of one key is not expected: it counts when it has been read.
func expectedOf(req *api.Request) int64 {
	switch call := req.Call.(type) {
	case nil:
		if req.Kind == api.Request_LEASES {
			return translate.MaxPageKeys * 8
		}
	case *api.Request_Range:
		return expectedOfRange(call.Range)
	case *api.Request_Txn:
		return min(expectedOfTxn(call.Txn), translate.MaxTxnReplyBytes)
	case *api.Request_DeleteRange:
		return expectedOfDelete(call.DeleteRange)
	case *api.Request_Lease:
		switch {
		case req.Kind == api.Request_LEASES:
			return translate.MaxPageKeys * 8
		case call.Lease.GetKeys():
			return translate.MaxPageBytes
		}
	}
	return 0
}

func expectedOfRange(r *api.Range) int64 {
	if r.GetCountOnly() || isSingle(r.GetSpan()) {
		return 0
	}
	expected := int64(translate.MaxPageBytes)
	if n := r.GetMaxBytes(); n > 0 {
		expected = int64(min(n, translate.MaxPageBytes))
	}
	if n := r.GetLimit(); n > 0 {
		expected = min(expected, int64(min(n, translate.MaxPageKeys))*expectedEntry)
	}
	return expected
}

func expectedOfDelete(d *api.DeleteRange) int64 {
	if !d.GetPrev() || isSingle(d.GetSpan()) {
		return 0
	}
	return translate.MaxPageBytes
}

func expectedOfTxn(t *api.Txn) (expected int64) {
	for op := range opsIn(t) {
		switch op := op.Op.(type) {
		case *api.TxnOp_Range:
			expected += expectedOfRange(op.Range)
		case *api.TxnOp_DeleteRange:
			expected += expectedOfDelete(op.DeleteRange)
		case *api.TxnOp_Txn:
			expected += expectedOfTxn(op.Txn)
		}
	}
	return expected
}

// isSingle tells whether a span has room for one key only.
func isSingle(s *api.Span) bool {
	n := len(s.GetFrom())
	return len(s.GetTo()) == n+1 && s.To[n] == 0 && string(s.To[:n]) == string(s.From)
}

// costOfReply is what a reply counts for besides its request.
func costOfReply(r *api.Reply) int64 {
	cost := int64(len(r.Value))
	switch result := r.Result.(type) {
	case nil:
	case *api.Reply_Prev:
		cost += costOfEntry(result.Prev)
	case *api.Reply_EncodedRange:
		cost += int64(len(result.Range)) + partOverhead
	case *api.Reply_Range:
		cost += costOfEntries(result.Range.GetEntries())
	case *api.Reply_DeleteRange:
		cost += costOfEntries(result.DeleteRange.GetPrev())
	case *api.Reply_Txn:
		cost += costOfTxnReply(result.Txn)
	case *api.Reply_Lease:
		cost += partOverhead + int64(8*len(result.Lease.GetOthersTtlMs()))
		for _, key := range result.Lease.GetKeys() {
			cost += int64(len(key)) + 24
		}
	case *api.Reply_Leases:
		cost += int64(8 * len(result.Leases.GetIds()))
	}
	return cost
}

func costOfEntry(e *api.Entry) int64 {
	return int64(len(e.GetKey())+len(e.GetValue())) + entryOverhead
}

func costOfEntries(entries []*api.Entry) int64 {
	cost := int64(partOverhead)
	for _, e := range entries {
		cost += costOfEntry(e)
	}
	return cost
}

func costOfTxnReply(t *api.TxnReply) (cost int64) {
	for _, r := range t.GetReplies() {
		cost += partOverhead
		switch op := r.Op.(type) {
		case *api.OpReply_Range:
			cost += costOfEntries(op.Range.GetEntries())
		case *api.OpReply_Put:
			cost += costOfEntry(op.Put.GetPrev())
		case *api.OpReply_DeleteRange:
			cost += costOfEntries(op.DeleteRange.GetPrev())
		case *api.OpReply_Txn:
			cost += costOfTxnReply(op.Txn)
		}
	}
	return cost
}
