package translate

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/kv"
)

var (
	MostOfPut    = mostOfPut
	MostOfDelete = mostOfDelete
	MostOfTxn    = mostOfTxn
)

// What is encoded by hand, as messages.

func RangeResponse(h *pb.ResponseHeader, r *kv.RangeResult) *pb.RangeResponse {
	return &pb.RangeResponse{Header: h, Kvs: KeyValues(r.Entries), More: r.More, Count: r.Count}
}

// NewPage is a page; last: with what the last one has.
func NewPage(o Origin, r *kv.RangeResult, last bool) *Page {
	return &Page{Entries: r.Entries, Revision: r.Revision, origin: o, last: last, more: r.More, count: r.Count}
}

func PageResponse(p *Page) *pb.RangeStreamResponse {
	r := &pb.RangeResponse{Kvs: KeyValues(p.Entries)}
	if p.last {
		r.Header, r.More, r.Count = p.origin.Header(p.Revision), p.more, p.count
	}
	return &pb.RangeStreamResponse{RangeResponse: r}
}

func PutResponseOf(h *pb.ResponseHeader, r *kv.PutResult) *pb.PutResponse {
	m := &pb.PutResponse{Header: h}
	if r.Prev != nil {
		m.PrevKv = KeyValues([]kv.Entry{*r.Prev})[0]
	}
	return m
}

func DeleteResponseOf(h *pb.ResponseHeader, r *kv.DeleteResult) *pb.DeleteRangeResponse {
	return &pb.DeleteRangeResponse{Header: h, Deleted: r.Deleted, PrevKvs: KeyValues(r.Prev)}
}

func TxnResponseOf(h *pb.ResponseHeader, r *kv.TxnResult) *pb.TxnResponse {
	m := &pb.TxnResponse{Header: h, Succeeded: r.Succeeded}
	for i := range r.Responses {
		m.Responses = append(m.Responses, opResponse(&r.Responses[i]))
	}
	return m
}

func opResponse(r *kv.OpResult) *pb.ResponseOp {
	inner := func(revision uint64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: int64(revision)} }
	switch {
	case r.Range != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: RangeResponse(inner(r.Range.Revision), r.Range)}}
	case r.Put != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: PutResponseOf(inner(r.Put.Revision), r.Put)}}
	case r.Delete != nil:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: DeleteResponseOf(inner(r.Delete.Revision), r.Delete)}}
	}
	return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: TxnResponseOf(inner(0), r.Txn)}}
}
