//balsa:pure

package translate

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"

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
	Keys   int64 // how many keys the first page has at most, and later ones if they are neither small nor large; 0: any number
	Bytes  int64 // about how many bytes a page has at most
	Origin Origin

	revision uint64 // of the store when the first page was read; 0 before
	count    int64  // of the keys so far
	done     bool
}

// Page is one of them. The last one has a header, and the count of all keys.
type Page struct {
	Entries  []kv.Entry
	Revision uint64 // of the store when the first page was read

	origin Origin
	last   bool
	more   bool // the limit has left out some
	count  int64
}

// Done tells whether the last page was read.
func (p *Pages) Done() bool { return p.done }

// Next reads the next page.
func (p *Pages) Next(store Ranger) (*Page, error) {
	op := p.Op
	op.MaxBytes, op.NoCount = p.Bytes, !op.CountOnly
	if op.Limit > 0 {
		op.Limit -= p.count
	}
	if p.Keys > 0 && (op.Limit == 0 || p.Keys < op.Limit) {
		op.Limit = p.Keys
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
	p.count += int64(len(r.Entries))
	page := &Page{Entries: r.Entries, Revision: p.revision, origin: p.Origin, more: r.More}
	if r.More && len(r.Entries) > 0 {
		p.Op.From = r.Entries[len(r.Entries)-1].Key + "\x00"
	}
	p.adjust(sizeEntries(r.Entries))
	if p.done = !r.More || p.Op.Limit > 0 && p.count >= p.Op.Limit; p.done {
		page.last = true
		page.count, err = p.all(store, &r)
	}
	return page, err
}

// adjust lets the next page have twice as many keys where one was small, and half as many where it was large,
// as etcd does it.
func (p *Pages) adjust(size int) {
	switch {
	case int64(size) < p.Bytes/4:
		p.Keys *= 2
	case int64(size) > p.Bytes:
		p.Keys = (p.Keys + 1) / 2
	}
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

// PageMessage is a RangeStreamResponse that is encoded already.
type PageMessage = Message[pb.RangeStreamResponse, *pb.RangeStreamResponse]

// fieldStreamed is the number of the field of RangeStreamResponse with the page.
const fieldStreamed = 1

// Message is the page as it is sent.
func (p *Page) Message() *PageMessage {
	size := sizeEntries(p.Entries)
	if p.last {
		size += p.origin.sizeHeader(p.Revision) + sizeNumber(protowire.EncodeBool(p.more)) + sizeNumber(uint64(p.count))
	}
	wire := appendMessage(make([]byte, 0, sizeMessage(size)), fieldStreamed, size)
	if !p.last {
		return &PageMessage{appendEntries(wire, fieldRangeKey, p.Entries)}
	}
	wire = appendEntries(appendHeader(wire, p.origin, p.Revision), fieldRangeKey, p.Entries)
	wire = appendNumber(wire, fieldRangeMore, protowire.EncodeBool(p.more))
	return &PageMessage{appendNumber(wire, fieldRangeCount, uint64(p.count))}
}
