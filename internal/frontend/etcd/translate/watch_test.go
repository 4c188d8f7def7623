package translate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// hub records what a session asks of it.
type hub struct {
	watched []watch.Request
	refused []string
	err     error // of Watch, once
}

func (h *hub) Watch(r watch.Request) error {
	if err := h.err; err != nil {
		h.err = nil
		return err
	}
	for _, w := range h.watched {
		if w.ID == r.ID {
			return watch.ErrDuplicateID
		}
	}
	h.watched = append(h.watched, r)
	return nil
}

func (h *hub) Refuse(_ int64, err error) error {
	h.refused = append(h.refused, reasonOf(err))
	return nil
}

func create(t *testing.T, s *WatchSession, h *hub, c *pb.WatchCreateRequest) {
	t.Helper()
	if err := s.Create(c, nil, h); err != nil {
		t.Fatal(err)
	}
}

func TestWatchRequestsHaveEachField(t *testing.T) {
	for _, test := range []struct {
		c    *pb.WatchCreateRequest
		want watch.Request
	}{
		{&pb.WatchCreateRequest{}, watch.Request{Span: kv.Single("\x00")}},
		{&pb.WatchCreateRequest{Key: []byte("k")}, watch.Request{Span: kv.Single("k")}},
		{&pb.WatchCreateRequest{Key: []byte("k"), RangeEnd: []byte{0}}, watch.Request{Span: kv.FromKey("k")}},
		{&pb.WatchCreateRequest{RangeEnd: []byte{0}}, watch.Request{Span: kv.FromKey("\x00")}},
		{&pb.WatchCreateRequest{Key: []byte("k"), RangeEnd: []byte("l")}, watch.Request{Span: kv.Prefix("k")}},
		{&pb.WatchCreateRequest{Key: []byte("k"), StartRevision: math.MaxInt64, PrevKv: true},
			watch.Request{Span: kv.Single("k"), Revision: math.MaxInt64, Filter: watch.Filter{Prev: true}}},
		{&pb.WatchCreateRequest{Key: []byte("k"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}},
			watch.Request{Span: kv.Single("k"), Filter: watch.Filter{NoPut: true}}},
		{&pb.WatchCreateRequest{Key: []byte("k"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE, 77}},
			watch.Request{Span: kv.Single("k"), Filter: watch.Filter{NoDelete: true}}},
	} {
		h := &hub{}
		create(t, new(WatchSession), h, test.c)
		if !slices.Equal(h.watched, []watch.Request{test.want}) || h.refused != nil {
			t.Errorf("%v: %+v, refused %q", test.c, h.watched, h.refused)
		}
	}
}

func TestWatchersWithoutAnIDGetTheNextFreeOne(t *testing.T) {
	s, h := new(WatchSession), &hub{}
	create(t, s, h, &pb.WatchCreateRequest{Key: []byte("a")})
	create(t, s, h, &pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("a")}) // takes none
	h.err = watch.ErrTooMany
	create(t, s, h, &pb.WatchCreateRequest{Key: []byte("a")}) // takes none
	create(t, s, h, &pb.WatchCreateRequest{Key: []byte("a"), WatchId: 2})
	for range 3 {
		create(t, s, h, &pb.WatchCreateRequest{Key: []byte("a")})
	}
	var ids []int64
	for _, r := range h.watched {
		ids = append(ids, r.ID)
	}
	if !slices.Equal(ids, []int64{0, 2, 1, 3, 4}) {
		t.Errorf("ids %v", ids)
	}
}

func TestBadWatchesAreRefusedWithAReasonAndNoID(t *testing.T) {
	s, h := new(WatchSession), &hub{}
	create(t, s, h, &pb.WatchCreateRequest{Key: []byte("a"), WatchId: 5})
	s.Recipients(&watch.Output{Kind: watch.Created, IDs: []int64{5}})
	denied := &Error{PermissionDenied, "etcdserver: permission denied"}
	const deniedReason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
	for _, test := range []struct {
		c      *pb.WatchCreateRequest
		denied error
		err    error
		reason string
	}{
		{c: &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: -1}, reason: "etcdserver: mvcc: required revision has been compacted"},
		{c: &pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("a")}, reason: "mvcc: watcher range is empty"},
		{c: &pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("a")}, reason: "mvcc: watcher range is empty"},
		{c: &pb.WatchCreateRequest{Key: []byte("a"), WatchId: 5}, reason: "mvcc: duplicate watch ID provided on the WatchStream"},
		{c: &pb.WatchCreateRequest{Key: []byte("a"), WatchId: -1}, reason: "etcdserver: watch id -1 is reserved"},
		{c: &pb.WatchCreateRequest{Key: []byte("a")}, err: watch.ErrTooMany, reason: "etcdserver: too many requests"},
		{c: &pb.WatchCreateRequest{Key: []byte("a")}, denied: denied, reason: deniedReason},
		// What is not permitted is not looked at.
		{c: &pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("a"), WatchId: 5}, denied: denied, reason: deniedReason},
	} {
		h.refused, h.err = nil, test.err
		if err := s.Create(test.c, test.denied, h); err != nil {
			t.Fatal(err)
		}
		to := s.Recipients(&watch.Output{Kind: watch.Refused, IDs: []int64{test.c.WatchId}})
		if !slices.Equal(h.refused, []string{test.reason}) || !slices.Equal(to, []Recipient{{ID: -1}}) {
			t.Errorf("%v: refused %q, told %v", test.c, h.refused, to)
		}
	}
	if to := s.Recipients(&watch.Output{Kind: watch.Events, IDs: []int64{5}}); !slices.Equal(to, []Recipient{{ID: 5}}) || len(h.watched) != 1 {
		t.Errorf("told %v, watchers %v", to, h.watched)
	}
}

// What a client reads is always put together from parts that are encoded by hand.
func TestWatchMessagesAreThePublishedOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []*mvccpb.Event
		out := &watch.Output{Kind: watch.Events, Revision: rapid.Uint64Range(0, 1<<40).Draw(t, "revision")}
		for range rapid.IntRange(0, 3).Draw(t, "batches") {
			b := &watch.Batch{}
			for range rapid.IntRange(1, 4).Draw(t, "events") {
				e, published := drawEvent(t)
				b.Events, want = append(b.Events, e), append(want, published)
			}
			out.Batches = append(out.Batches, b)
		}
		o := Origin{rapid.Uint64().Draw(t, "cluster"), rapid.Uint64().Draw(t, "member"), rapid.Uint64Range(0, 300).Draw(t, "term")}
		var m WatchMessage
		m.Begin(out, o)
		for range 2 {
			id := rapid.Int64().Draw(t, "id")
			m.To(id)
			r := &pb.WatchResponse{Header: o.Header(out.Revision), WatchId: id, Events: want}
			if got := m.Response(); !proto.Equal(got, r) || m.Size() != proto.Size(r) {
				t.Fatalf("got  %v\nwant %v", got, r)
			}
		}
	})
}

func drawEvent(t *rapid.T) (kv.Event, *mvccpb.Event) {
	entry := func() (kv.Entry, *mvccpb.KeyValue) {
		small := rapid.SampledFrom([]uint64{0, 1, 127, 128, 1 << 40})
		e := kv.Entry{
			Key: rapid.StringN(0, 5, 200).Draw(t, "key"), Value: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value"),
			Version: small.Draw(t, "version"), CreateRevision: small.Draw(t, "create"), ModRevision: small.Draw(t, "mod"), Lease: rapid.Int64().Draw(t, "lease"),
		}
		return e, &mvccpb.KeyValue{
			Key: []byte(e.Key), Value: e.Value, Version: int64(e.Version),
			CreateRevision: int64(e.CreateRevision), ModRevision: int64(e.ModRevision), Lease: e.Lease,
		}
	}
	e, published := kv.Event{Deleted: rapid.Bool().Draw(t, "deleted")}, &mvccpb.Event{}
	e.Entry, published.Kv = entry()
	if e.Deleted {
		published.Type = mvccpb.Event_DELETE
	}
	if rapid.Bool().Draw(t, "prev") {
		prev, publishedPrev := entry()
		e.Prev, published.PrevKv = &prev, publishedPrev
	}
	return e, published
}

func TestWatchMessagesOfEachKind(t *testing.T) {
	o := Origin{ClusterID: 1, MemberID: 2, Term: 3}
	for name, test := range map[string]struct {
		out  watch.Output
		want *pb.WatchResponse
	}{
		"created":  {watch.Output{Kind: watch.Created}, &pb.WatchResponse{Header: o.Header(8), Created: true}},
		"progress": {watch.Output{Kind: watch.Progress}, &pb.WatchResponse{Header: o.Header(8)}},
		"refused": {watch.Output{Kind: watch.Refused, Err: watch.ErrEmptySpan},
			&pb.WatchResponse{Header: o.Header(8), Created: true, Canceled: true, CancelReason: "mvcc: watcher range is empty"}},
		"canceled by the client": {watch.Output{Kind: watch.Canceled, Err: watch.ErrCanceled},
			&pb.WatchResponse{Header: o.Header(8), Canceled: true}},
		"compacted": {watch.Output{Kind: watch.Canceled, Err: kv.ErrCompacted, Compacted: 5},
			&pb.WatchResponse{Header: o.Header(8), Canceled: true, CompactRevision: 5}},
		"another end": {watch.Output{Kind: watch.Canceled, Err: errors.New("broken")},
			&pb.WatchResponse{Header: o.Header(8), Canceled: true, CancelReason: "broken"}},
	} {
		var m WatchMessage
		test.out.Revision = 8
		m.Begin(&test.out, o)
		m.To(7)
		test.want.WatchId = 7
		asJSON, err := protojson.Marshal(&m) // as a transport does that knows nothing of wire forms
		wantJSON, _ := protojson.Marshal(test.want)
		if err != nil || !sameJSON(asJSON, wantJSON) {
			t.Errorf("%s: %s, %v", name, asJSON, err)
		}
		if got := m.Response(); !proto.Equal(got, test.want) || !proto.Equal(&m, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// sameJSON compares without spaces: protojson puts them in at random.
func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && x.String() == y.String()
}

// A field that etcd adds has to be thought of here.
func TestFieldsOfWatchMessagesAreAllKnown(t *testing.T) {
	for m, known := range map[proto.Message]string{
		&pb.WatchResponse{}:      "header watch_id created canceled compact_revision cancel_reason fragment events",
		&pb.ResponseHeader{}:     "cluster_id member_id revision raft_term",
		&mvccpb.Event{}:          "type kv prev_kv",
		&mvccpb.KeyValue{}:       "key create_revision mod_revision version value lease",
		&pb.WatchCreateRequest{}: "key range_end start_revision progress_notify filters prev_kv watch_id fragment",
	} {
		var names []string
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			names = append(names, string(fields.Get(i).Name()))
		}
		if got := strings.Join(names, " "); got != known {
			t.Errorf("%T has the fields %s", m, got)
		}
	}
}

func TestFragmentsAreContiguousAndBounded(t *testing.T) {
	b := &watch.Batch{}
	for i := range 100 {
		b.Events = append(b.Events, kv.Event{Entry: kv.Entry{Key: fmt.Sprint(i), Value: make([]byte, 1000*(i%30))}})
	}
	b.Events[50].Value = make([]byte, 300_000) // larger than a fragment may be
	var m WatchMessage
	m.Begin(&watch.Output{Kind: watch.Events, Revision: 4, Batches: []*watch.Batch{b}}, Origin{1, 2, 3})
	m.To(9)
	whole := m.Response()
	const most = 200_000
	var got []*mvccpb.Event
	fragments := 0
	if err := m.Fragments(most, func(m *WatchMessage) error {
		r := m.Response()
		fragments++
		got = append(got, r.Events...)
		if last := len(got) == len(whole.Events); r.Fragment == last || r.WatchId != 9 || !proto.Equal(r.Header, whole.Header) {
			t.Errorf("fragment %d: %v of %d, header %v, last %v", fragments, r.Fragment, r.WatchId, r.Header, last)
		}
		if n := proto.Size(r); n != m.Size() || n >= most && len(r.Events) > 1 {
			t.Errorf("fragment %d has %d bytes and %d events", fragments, n, len(r.Events))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if fragments < 8 || !proto.Equal(&pb.WatchResponse{Events: got}, &pb.WatchResponse{Events: whole.Events}) {
		t.Errorf("%d events in %d fragments", len(got), fragments)
	}
	if m.To(10); !proto.Equal(m.Response(), &pb.WatchResponse{Header: whole.Header, WatchId: 10, Events: whole.Events}) {
		t.Error("the message is not whole afterwards")
	}
	broken := errors.New("broken")
	if err := m.Fragments(most, func(*WatchMessage) error { return broken }); err != broken {
		t.Errorf("error %v", err)
	}
}

func BenchmarkWatchMessage(b *testing.B) {
	batch := &watch.Batch{Events: []kv.Event{{Entry: kv.Entry{Key: "some/key", Value: make([]byte, 100)}}}}
	out := &watch.Output{Kind: watch.Events, Revision: 4, Batches: []*watch.Batch{batch}}
	var m WatchMessage
	for b.Loop() {
		m.Begin(out, Origin{1 << 60, 1 << 61, 7})
		m.To(700)
	}
}
