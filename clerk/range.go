package clerk

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
)

// reading is a range as its options describe it.
type reading struct {
	message     *api.Range
	consistency api.Request_Consistency
}

func newReading[O RangeOption](span Span, opts []O) *reading {
	r := &reading{message: &api.Range{Span: span.message()}}
	for _, opt := range opts {
		opt.setRange(r)
	}
	return r
}

// Range iterates over the keys of a span, as they were at one revision: the present one, or that
// of AtRevision. The order is that of the keys, if no option says otherwise. It reads page by
// page, so that a span of any size takes little memory. An error is the last thing that it
// yields.
//
//	for kv, err := range ck.Range(ctx, clerk.Prefix("users/")) {
//		if err != nil {
//			return err
//		}
//		...
//	}
//
// If the loop takes so long that the revision is compacted meanwhile, it ends with
// ErrCompacted. With OrderBy, the keys must fit into one reply: see Limit.
func (c *Clerk) Range(ctx context.Context, span Span, opts ...RangeOption) iter.Seq2[KV, error] {
	return func(yield func(KV, error) bool) {
		for page, err := range c.pages(ctx, newReading(span, opts)) {
			if err != nil {
				yield(KV{}, err)
				return
			}
			for e, err := range page.Entries() {
				if err != nil {
					yield(KV{}, err)
					return
				}
				if !yield(pageEntry(e, page.revision), nil) {
					return
				}
			}
		}
	}
}

// page is a part of a range, which the store was read for at a revision.
type page struct {
	api.Page
	revision uint64
}

// pages reads page by page.
func (c *Clerk) pages(ctx context.Context, q *reading) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		for {
			p, err := c.page(ctx, q)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(p, nil) {
				return
			}
			if err := p.Skip(); err != nil {
				yield(nil, err)
				return
			}
			if !p.More || !q.advance(p) {
				return
			}
			if q.message.Sort != api.Range_KEY {
				yield(nil, failure(q.request(), fmt.Errorf("%w: the keys in this order do not fit into one reply: set a limit", ErrTooLarge)))
				return
			}
		}
	}
}

// page reads one page.
func (c *Clerk) page(ctx context.Context, q *reading) (*page, error) {
	reply, err := c.do(ctx, q.request())
	if err != nil {
		return nil, err
	}
	return &page{reply.Page(), reply.GetRevision()}, nil
}

func (q *reading) request() *api.Request {
	return &api.Request{
		Kind: api.Request_RANGE, Consistency: q.consistency, Call: &api.Request_Range{Range: q.message},
	}
}

// advance turns to the next page, at the revision of the first one. It returns false if there
// is none.
func (q *reading) advance(p *page) bool {
	read := uint64(p.Len)
	if read == 0 || q.message.Limit > 0 && q.message.Limit <= read {
		return false
	}
	next := proto.CloneOf(q.message) // the one before may still be on its way
	if next.Limit > 0 {
		next.Limit -= read
	}
	if next.Revision == 0 {
		next.Revision = p.revision
	}
	last, err := p.LastKey()
	if err != nil {
		return false // Entries has told of it
	}
	if next.Descend {
		next.Span.To, next.Span.Open = last, false
	} else {
		next.Span.From = append(bytes.Clone(last), 0)
	}
	q.message = next
	return true
}

// Count returns how many keys a span has.
func (c *Clerk) Count(ctx context.Context, span Span, opts ...ReadOption) (int64, error) {
	q := newReading(span, opts)
	q.message.CountOnly = true
	p, err := c.page(ctx, q)
	if err != nil {
		return 0, err
	}
	err = p.Skip()
	return int64(p.Count), err
}

// getAt is Get at a revision.
func (c *Clerk) getAt(ctx context.Context, key string, q *reading) (KV, error) {
	p, err := c.page(ctx, q)
	if err != nil {
		return KV{}, err
	}
	return p.one(key)
}

// one returns what a page that was read for one key says of it.
func (p *page) one(key string) (KV, error) {
	for e, err := range p.Entries() {
		if err != nil {
			return KV{}, err
		}
		return pageEntry(e, p.revision), nil
	}
	return KV{}, noKey(key)
}

func noKey(key string) error {
	return failure(&api.Request{Kind: api.Request_GET, Key: []byte(key)}, ErrNoKey)
}

// DeleteRange removes all keys of a span, in one revision, and returns how many there were. Like
// Remove, it is not sent again after a lost reply without a session. With one, it returns -1 if
// it was executed, and the servers had no room to remember how many there were.
func (c *Clerk) DeleteRange(ctx context.Context, span Span) (deleted int64, err error) {
	reply, err := c.write(ctx, &api.Request{
		Kind: api.Request_DELETE_RANGE,
		Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: span.message()}},
	})
	if err != nil {
		return 0, err
	}
	if reply.GetIncomplete() && reply.GetDeleteRange() == nil {
		return -1, nil
	}
	return int64(reply.GetDeleteRange().GetDeleted()), nil
}

// Compact forgets the history below a revision. What was current at the revision or later can
// still be read. It fails with ErrCompacted if the revision is at or below that of an earlier
// Compact.
func (c *Clerk) Compact(ctx context.Context, revision uint64) error {
	_, err := c.do(ctx, &api.Request{
		Kind: api.Request_COMPACT, Call: &api.Request_Compact{Compact: &api.Compact{Revision: revision}},
	})
	return err
}
