package etcd

import (
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/frontend/watching"
	"balsa.example/internal/metrics"
	"balsa.example/kv"
)

// streamPageKeys is how many keys the first page of a streamed range has, as in etcd.
const streamPageKeys = 10

// streamPageBytes is about how large the pages of a streamed range are at most: as large as two requests, beyond
// which etcd makes them smaller.
func (f *Face) streamPageBytes() int64 {
	return 2 * int64(cmp.Or(f.cfg.Limits.MaxValueBytes, kv.DefaultLimits.MaxValueBytes))
}

// RangeStream reads keys page by page, all at the revision of the first. If that is compacted
// meanwhile the stream ends with an error, as in etcd.
func (f *Face) RangeStream(c *Caller, s Stream) error {
	r := new(pb.RangeRequest)
	if err := s.Receive(r); err != nil {
		return err
	}
	op, err := translate.RangeStreamOf(r, f.cfg.Limits)
	if err != nil {
		return err
	}
	if !r.Serializable {
		if err := f.fresh(s.Context()); err != nil {
			return err
		}
	}
	pages := translate.Pages{Op: *op, Keys: streamPageKeys, Bytes: f.streamPageBytes(), Origin: f.origin()}
	for !pages.Done() {
		if err := f.sendPage(c, s, op.Span, &pages); err != nil {
			return err
		}
	}
	return nil
}

// sendPage reads the next page, and sends it. What a page may take counts for the client until then: it has as many
// pages in memory as streams, however slowly it reads.
func (f *Face) sendPage(c *Caller, s Stream, span kv.Span, pages *translate.Pages) error {
	if err := watching.Reserve(s.Context(), c.bounds(), pages.Bytes); err != nil {
		return failed(err, translate.ReadFailed)
	}
	defer c.bounds().Release(pages.Bytes)
	var page *translate.Page
	then := metrics.Now()
	err := f.access.Read(c.user, span, func() (err error) {
		page, err = pages.Next(f.cfg.Node.Store())
		return err
	})
	f.cfg.Requests.Range(then, err == nil)
	if err != nil {
		return translate.ReadFailed(err)
	}
	return s.Send(page.Message())
}
