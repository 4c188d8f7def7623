package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd"
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
		{func(*pb.RangeRequest) {}, 10, 2, false, 10},
		{func(r *pb.RangeRequest) { r.Limit = 5 }, 5, 1, true, 10},
		{func(r *pb.RangeRequest) { r.Limit = 9 }, 9, 2, true, 10},
		{func(r *pb.RangeRequest) { r.Limit = 10 }, 10, 2, false, 10},
		{func(r *pb.RangeRequest) { r.Revision = 6 }, 5, 1, false, 5},
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

// As in etcd a page has 10 keys first, and then twice as many as the one before.
func TestRangeStreamHasLargerAndLargerPages(t *testing.T) {
	w := newWorld(t)
	for i := range 75 {
		do(t, w, w.Put, put(fmt.Sprint("key ", i), "x"))
	}
	pages, err := streamed(t, w, get("key", "\x00"))
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, p := range pages {
		sizes = append(sizes, len(p.Kvs))
	}
	if !slices.Equal(sizes, []int{10, 20, 40, 5}) {
		t.Errorf("%d keys on the pages", sizes)
	}
}

// meanwhile is a stream to which something happens behind each message.
type meanwhile struct {
	*pipe
	happens func()
}

func (m meanwhile) Send(msg proto.Message) error {
	defer m.happens()
	return m.pipe.Send(msg)
}

// All pages are of the revision of the first one, whatever is written between them, and so is the count.
func TestRangeStreamIsOfOneRevision(t *testing.T) {
	w := newWorld(t)
	var keys []string
	for i := range 35 {
		keys = append(keys, fmt.Sprintf("key %02d", i))
		do(t, w, w.Put, put(keys[i], "early"))
	}
	p := newPipe(t.Context(), 100)
	p.requests <- get("key", "\x00")
	written := 0
	if err := w.RangeStream(w.any, meanwhile{p, func() {
		written++
		do(t, w, w.Put, put("key 33", "later"))
		do(t, w, w.Put, put(fmt.Sprintf("key 33%d", written), "later"))
		do(t, w, w.DeleteRange, del("key 34", ""))
	}}); err != nil || written < 3 {
		t.Fatalf("%d pages: %v", written, err)
	}
	close(p.sent)
	var got []string
	for m := range p.sent {
		r := m.(*pb.RangeStreamResponse).RangeResponse
		got = append(got, keysOf(r.Kvs)...)
		for _, e := range r.Kvs {
			if string(e.Value) != "early" {
				t.Errorf("%s is of revision %d", e.Key, e.ModRevision)
			}
		}
		if r.Header != nil && (r.Header.Revision != 36 || r.Count != 35) {
			t.Errorf("%d keys at %v", r.Count, r.Header)
		}
	}
	if !slices.Equal(got, keys) {
		t.Errorf("keys %q", got)
	}
}

// room is what a client may have in progress. As long as it is short there is none.
type room struct {
	etcd.Caller
	held  int64
	short int
	full  func() // called where there is none
}

func (r *room) AddWatcher() error   { return nil }
func (r *room) RemoveWatchers(int)  {}
func (r *room) Release(bytes int64) { r.held -= bytes }
func (r *room) Reserve(b int64) bool {
	if r.short--; r.short >= 0 {
		r.full()
		return false
	}
	r.held += b
	return true
}

// Each page counts for the client until it is sent, and waits for room.
func TestPagesOfRangeStreamCount(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		do(t, w, w.Put, &pb.PutRequest{Key: fmt.Append(nil, "key ", i), Value: make([]byte, 300<<10)})
	}
	r := &room{short: 2, full: func() {}}
	r.Bounds = r
	p := newPipe(t.Context(), 100)
	p.requests <- get("key", "\x00")
	pages := 0
	err := w.RangeStream(&r.Caller, meanwhile{p, func() {
		pages++
		if size := int64(proto.Size(<-p.sent)); size < 1<<20 || r.held < size || r.held > 4<<20 {
			t.Errorf("a page of %d bytes counts for %d", size, r.held)
		}
	}})
	if err != nil || pages < 3 || r.held != 0 || r.short > 0 {
		t.Errorf("%d pages, %d bytes still count: %v", pages, r.held, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p = newPipe(ctx, 1)
	p.requests <- get("key", "\x00")
	r.short, r.full = math.MaxInt, cancel
	refused(t, w.RangeStream(&r.Caller, p), translate.ErrCanceled)
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
