package etcd_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
)

// streamed returns what RangeStream sends.
func streamed(t testing.TB, w *world, r *pb.RangeRequest) (pages []*pb.RangeResponse, err error) {
	t.Helper()
	p := newPipe(t.Context(), 100)
	p.requests <- r
	err = w.RangeStream(w.any, p)
	close(p.sent)
	for m := range p.sent {
		pages = append(pages, m.(*pb.RangeStreamResponse).RangeResponse)
	}
	return pages, err
}

func TestRangeStreamHasPages(t *testing.T) {
	w := newWorld(t)
	large := bytes.Repeat([]byte("x"), 400<<10)
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("key %d", i))
		do(t, w, w.Put, &pb.PutRequest{Key: []byte(want[i]), Value: large})
	}
	for _, tt := range []struct {
		set   func(*pb.RangeRequest)
		keys  int
		pages int
		more  bool
		count int64
	}{
		{func(*pb.RangeRequest) {}, 10, 4, false, 10},
		{func(r *pb.RangeRequest) { r.Limit = 5 }, 5, 2, true, 10},
		{func(r *pb.RangeRequest) { r.Limit = 3 }, 3, 1, true, 10},
		{func(r *pb.RangeRequest) { r.Limit = 10 }, 10, 4, false, 10},
		{func(r *pb.RangeRequest) { r.Revision = 6 }, 5, 2, false, 5},
		{func(r *pb.RangeRequest) { r.KeysOnly = true }, 10, 1, false, 10},
		{func(r *pb.RangeRequest) { r.CountOnly, r.Limit = true, 2 }, 0, 1, false, 10},
		{func(r *pb.RangeRequest) { r.RangeEnd = nil; r.Key = []byte("key 3") }, 1, 1, false, 1},
		{func(r *pb.RangeRequest) { r.RangeEnd = nil; r.Key = []byte("none") }, 0, 1, false, 0},
	} {
		r := get("key", "\x00")
		tt.set(r)
		pages, err := streamed(t, w, r)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for i, p := range pages {
			keys = append(keys, keysOf(p.Kvs)...)
			if last := i == len(pages)-1; (p.Header != nil) != last || !last && (p.More || p.Count != 0) {
				t.Errorf("page %d has %v, more %t, count %d", i, p.Header, p.More, p.Count)
			}
		}
		last := pages[len(pages)-1]
		if len(keys) != tt.keys || len(pages) != tt.pages || last.More != tt.more || last.Count != tt.count || last.Header.Revision != 11 {
			t.Errorf("%v: %d keys on %d pages, last %v, %t, %d", r, len(keys), len(pages), last.Header, last.More, last.Count)
		}
		if tt.keys > 1 && !slices.Equal(keys, want[:tt.keys]) {
			t.Errorf("keys %q", keys)
		}
	}
}

func TestRangeStreamRefusesWhatHasNoPages(t *testing.T) {
	w := newWorld(t)
	sorted := &translate.Error{Code: translate.Unimplemented, Text: "RangeStream does not support custom sort orders"}
	filtered := &translate.Error{Code: translate.Unimplemented, Text: "RangeStream does not support revision filters"}
	for _, tt := range []struct {
		r    *pb.RangeRequest
		want *translate.Error
	}{
		{&pb.RangeRequest{}, translate.ErrEmptyKey},
		{&pb.RangeRequest{Key: []byte("a"), SortOrder: pb.RangeRequest_DESCEND}, sorted},
		{&pb.RangeRequest{Key: []byte("a"), SortTarget: pb.RangeRequest_VERSION}, sorted},
		{&pb.RangeRequest{Key: []byte("a"), MinModRevision: 1}, filtered},
		{&pb.RangeRequest{Key: []byte("a"), MaxCreateRevision: 1}, filtered},
		{&pb.RangeRequest{Key: []byte("a"), Revision: 9}, translate.ErrFutureRev},
	} {
		_, err := streamed(t, w, tt.r)
		refused(t, err, tt.want)
	}
}
