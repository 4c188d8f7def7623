//balsa:pure

package translate

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/kv"
)

// RangeStreamOf is the read that a request for a stream asks for. Streams are in the order of keys,
// and have all of them: nothing else can be told page by page.
func RangeStreamOf(r *pb.RangeRequest, limits kv.Limits) (*kv.RangeOp, error) {
	op, err := RangeOf(r, limits)
	switch {
	case err != nil:
		return nil, err
	case op.Sort != kv.SortByKey || op.Descend:
		return nil, &Error{Unimplemented, "RangeStream does not support custom sort orders"}
	case r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0:
		return nil, &Error{Unimplemented, "RangeStream does not support revision filters"}
	}
	return op, nil
}

// Ranger reads ranges.
type Ranger interface {
	Range(op kv.RangeOp) (kv.RangeResult, error)
}

// Pages reads a range in pages, all at the revision of the first.
type Pages struct {
	Op     kv.RangeOp
	Bytes  int64 // about how many bytes a page has
	Origin Origin

	revision uint64 // of the store when the first page was read; 0 before
	count    int64  // of the keys so far
	done     bool
}

// Done tells whether the last page was read.
func (p *Pages) Done() bool { return p.done }

// Next reads the next page. The last one has a header, and the count of all keys.
func (p *Pages) Next(store Ranger) (*pb.RangeStreamResponse, error) {
	op := p.Op
	op.MaxBytes, op.NoCount = p.Bytes, !op.CountOnly
	if op.Limit > 0 {
		op.Limit -= p.count
	}
	r, err := store.Range(op)
	if err != nil {
		return nil, err
	}
	if p.revision == 0 {
		p.revision = r.Revision
		if p.Op.Revision == 0 {
			p.Op.Revision = r.Revision
		}
	}
	n := int64(len(r.Entries))
	p.count += n
	page := &pb.RangeResponse{Kvs: keyValues(r.Entries)}
	if r.More {
		p.Op.From = r.Entries[n-1].Key + "\x00"
	}
	if p.done = !r.More || p.Op.Limit > 0 && p.count >= p.Op.Limit; p.done {
		page.Header, page.More = p.Origin.Header(p.revision), r.More
		page.Count, err = p.all(store, &r)
	}
	return &pb.RangeStreamResponse{RangeResponse: page}, err
}

// all counts the keys of all pages, and those beyond the limit.
func (p *Pages) all(store Ranger, last *kv.RangeResult) (int64, error) {
	switch {
	case p.Op.CountOnly:
		return last.Count, nil
	case !last.More:
		return p.count, nil
	}
	rest, err := store.Range(kv.RangeOp{Span: p.Op.Span, Revision: p.Op.Revision, CountOnly: true})
	return p.count + rest.Count, err
}
