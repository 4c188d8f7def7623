package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/clerk"
	"balsa.example/internal/check/history"
	"balsa.example/kv"
)

// testRecord is an epoch behind revision 100 with two puts, revisions of others between them, a lease
// that ends, and the put that ends the epoch; with one watch.
func testRecord() (r *etcdRecord, ops []history.Op) {
	put := func(revision uint64, key, value string, version uint64, lease int64) kv.Event {
		return kv.Event{Entry: kv.Entry{Key: key, Value: []byte(value), Version: version, ModRevision: revision, Lease: lease}}
	}
	r = &etcdRecord{span: kv.Span{From: "e1-k", To: "e1-m"}, base: 100, last: 107, leases: map[string]*etcdLease{
		"e1-l9-0": {Lease: history.Lease{ID: 77, TTL: int64(time.Second), Kept: []history.Interval{{Called: 10, Returned: 20}}}, key: "e1-l9-0", value: "held"},
	}}
	held := put(103, "e1-l9-0", "held", 1, 77)
	ended := kv.Event{Entry: kv.Entry{Key: held.Key, ModRevision: 105}, Deleted: true, Prev: &held.Entry}
	r.truth = [][]kv.Event{{put(101, "e1-k1", "a", 1, 0)}, nil, {held}, {put(104, "e1-k1", "b", 2, 0)}, {ended}, nil, {put(107, "e1-k50-end", "end", 1, 0)}}
	w := &etcdWatcher{watches: []*etcdWatch{{Stream: history.Stream{Span: r.span, From: 101, Prev: true, Batches: []history.Batch{
		{Events: r.truth[0]}, {Progress: 102}, {Events: []kv.Event{held, r.truth[3][0]}}, {Events: r.truth[4]}, {Progress: 106}, {Events: r.truth[6]},
		{Progress: 120}, {Events: []kv.Event{{Entry: kv.Entry{Key: "e1-l9-9", ModRevision: 121}, Deleted: true}}},
	}}}}}
	r.watchers = []*etcdWatcher{w}
	ops = []history.Op{
		{Kind: history.Put, Key: "e1-k1", Value: "a", Outcome: history.OK, Revision: 101},
		{Kind: history.Put, Key: "e1-k1", Value: "b", Version: 1, Outcome: history.Maybe},
		{Kind: history.Put, Key: "e1-k1", Value: "never", Version: 1, Outcome: history.Maybe},
		{Kind: history.Put, Key: "e1-probe", Value: "1", Outcome: history.OK, Revision: 102},
		{Kind: history.Put, Key: "e1-k50-end", Value: "end", Outcome: history.OK, Revision: 107},
	}
	return r, ops
}

// A record that is wrong in one place is refused, and says where.
func TestWhatTheEtcdAPITellsIsChecked(t *testing.T) {
	batches := func(r *etcdRecord) *[]history.Batch { return &r.watchers[0].watches[0].Batches }
	for _, tt := range []struct {
		name, want string
		spoil      func(r *etcdRecord, ops []history.Op)
	}{
		{"as it is", "", func(*etcdRecord, []history.Op) {}},
		{"a watch that misses an event", "was not sent", func(r *etcdRecord, _ []history.Op) { *batches(r) = (*batches(r))[1:] }},
		{"an event twice", "revision 2 after 2", func(r *etcdRecord, _ []history.Op) {
			*batches(r) = append([]history.Batch{(*batches(r))[0]}, *batches(r)...)
		}},
		{"progress ahead of events", "progress 4, but revision 4 was not sent", func(r *etcdRecord, _ []history.Op) { (*batches(r))[1].Progress = 103 }},
		{"a watch without the last event", "was never told of revision 8", func(r *etcdRecord, _ []history.Op) { *batches(r) = (*batches(r))[:5] }},
		{"another value", "revision 2: ", func(r *etcdRecord, _ []history.Op) {
			(*batches(r))[0].Events = []kv.Event{{Entry: kv.Entry{Key: "e1-k1", Value: []byte("x"), Version: 1, ModRevision: 101}}}
		}},
		{"a watch that ends by itself", "broke", func(r *etcdRecord, _ []history.Op) { r.failed(errors.New("broke")) }},
		{"an acknowledged put without its event", "was acknowledged", func(r *etcdRecord, _ []history.Op) { r.truth[0] = nil }},
		{"a revision that was given to another", "was acknowledged", func(r *etcdRecord, ops []history.Op) {
			ops[3].Key, ops[3].Revision = "e1-k2", 105
		}},
		{"an event of no operation", "is of no operation", func(_ *etcdRecord, ops []history.Op) { ops[1].Value = "c" }},
		{"a put that was executed twice", "is of no operation", func(r *etcdRecord, _ []history.Op) { r.truth[3][0].Version = 3 }},
		{"the key of another lease", "is of no operation", func(r *etcdRecord, _ []history.Op) { r.truth[2][0].Lease = 78 }},
		{"a lease that ended too early", "was to last until", func(r *etcdRecord, _ []history.Op) {
			l := r.leases["e1-l9-0"]
			l.Gone = append(l.Gone, history.Interval{Called: 500_000_000, Returned: 500_000_001})
		}},
	} {
		r, ops := testRecord()
		tt.spoil(r, ops)
		if err := r.check(ops); err == nil && tt.want != "" || err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestAnErrorOfTheEtcdAPISaysWhetherAWriteWasExecuted(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want error // nil: no fault explains it
	}{
		{rpctypes.ErrGRPCNoLeader, errRefused},
		{rpctypes.ErrGRPCNoSpace, errRefused},
		{rpctypes.ErrGRPCTimeoutDueToLeaderFail, clerk.ErrMaybe},
		{status.Error(codes.Unavailable, "connection reset"), clerk.ErrMaybe},
		{status.Error(codes.DeadlineExceeded, "late"), clerk.ErrMaybe},
		{rpctypes.ErrGRPCDuplicateKey, nil},
		{status.Error(codes.Internal, "broken"), nil},
	} {
		c := &etcdClient{}
		got := c.failed(tt.err, clerk.ErrMaybe)
		for _, one := range []error{errRefused, clerk.ErrMaybe} {
			if errors.Is(got, one) != (one == tt.want) {
				t.Errorf("%v is %v, want %v", tt.err, got, tt.want)
			}
		}
	}
}

func TestAClientOfTheEtcdAPIDoesNotGoBack(t *testing.T) {
	c := &etcdClient{}
	for i, tt := range []struct {
		revision int64
		want     string
	}{{5, "<nil>"}, {5, "<nil>"}, {4, "an answer of member 0 has revision 4, and the client has seen 5"}} {
		if err := c.goesOn(&pb.ResponseHeader{Revision: tt.revision}); fmt.Sprint(err) != tt.want {
			t.Errorf("answer %d: %v, want %s", i, err, tt.want)
		}
	}
}
