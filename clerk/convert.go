package clerk

import (
	"unsafe"

	"balsa.example/api"
)

// entry is a key as a reply describes it. The store was at a revision then.
func entry(e *api.Entry, revision uint64) KV {
	return KV{
		Key: string(e.GetKey()), Value: e.GetValue(), Version: e.GetVersion(), Lease: e.GetLease(),
		CreateRevision: e.GetCreateRevision(), ModRevision: e.GetModRevision(), Revision: revision,
	}
}

// pageEntry is entry for one of a page. Its key, as its value, shares the page's memory.
func pageEntry(e api.PageEntry, revision uint64) KV {
	key := unsafe.String(unsafe.SliceData(e.Key), len(e.Key))
	return KV{
		Key: key, Value: e.Value, Version: e.Version, Lease: e.Lease,
		CreateRevision: e.CreateRevision, ModRevision: e.ModRevision, Revision: revision,
	}
}

func entries(list []*api.Entry, revision uint64) (all []KV) {
	for _, e := range list {
		all = append(all, entry(e, revision))
	}
	return all
}

func txnResult(t *api.TxnReply, revision uint64) *TxnResult {
	r := &TxnResult{Succeeded: t.GetSucceeded(), Revision: revision}
	for _, reply := range t.GetReplies() {
		var o OpResult
		switch op := reply.GetOp().(type) {
		case *api.OpReply_Range:
			o.KVs, o.Count, o.More = entries(op.Range.GetEntries(), revision), int64(op.Range.GetCount()), op.Range.GetMore()
		case *api.OpReply_Put:
			if e := op.Put.GetPrev(); e != nil {
				o.KVs = []KV{entry(e, revision)}
			}
		case *api.OpReply_DeleteRange:
			o.KVs, o.Deleted = entries(op.DeleteRange.GetPrev(), revision), int64(op.DeleteRange.GetDeleted())
		case *api.OpReply_Txn:
			o.Txn = txnResult(op.Txn, revision)
		}
		r.Results = append(r.Results, o)
	}
	return r
}
