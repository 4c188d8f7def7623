package translate

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/kv/watch"
)

func TestFieldsOfWatchersArrive(t *testing.T) {
	c := whole(new(api.WatchCreate))
	c.Span = &api.Span{From: []byte("a"), To: []byte("b")}
	arrive(t, c, func(c *api.WatchCreate) (any, error) { return WatchRequest(c) })
}

func TestUpdatesHaveEachField(t *testing.T) {
	for name, test := range map[string]struct {
		out  watch.Output
		want *api.WatchUpdate
	}{
		"created": {watch.Output{Kind: watch.Created, IDs: []int64{7}, Revision: 8},
			&api.WatchUpdate{Kind: api.WatchUpdate_CREATED, Ids: []uint64{7}, Revision: 8}},
		"events, whose revisions are in the batches": {watch.Output{Kind: watch.Events, IDs: []int64{7, 9}, Revision: 8},
			&api.WatchUpdate{Ids: []uint64{7, 9}}},
		"progress": {watch.Output{Kind: watch.Progress, Revision: 8},
			&api.WatchUpdate{Kind: api.WatchUpdate_PROGRESS, Revision: 8}},
		"refused": {watch.Output{Kind: watch.Refused, IDs: []int64{7}, Err: watch.ErrTooMany},
			&api.WatchUpdate{Kind: api.WatchUpdate_REFUSED, Ids: []uint64{7}, Code: api.Reply_BUSY, Message: watch.ErrTooMany.Error()}},
		"compacted": {watch.Output{Kind: watch.Canceled, IDs: []int64{7}, Err: kv.ErrCompacted, Compacted: 5},
			&api.WatchUpdate{Kind: api.WatchUpdate_CANCELED, Ids: []uint64{7}, Code: api.Reply_COMPACTED, Message: kv.ErrCompacted.Error(), Compacted: 5}},
		"another end": {watch.Output{Kind: watch.Canceled, Err: errors.New("broken")},
			&api.WatchUpdate{Kind: api.WatchUpdate_CANCELED, Code: api.Reply_UNAVAILABLE, Message: "broken"}},
	} {
		if got := WatchUpdate(&test.out); !proto.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestEventsHaveEachField(t *testing.T) {
	entry := kv.Entry{Key: "k", Value: []byte("v"), Version: 1, CreateRevision: 2, ModRevision: 3, Lease: 4}
	b := &watch.Batch{Revision: 3, Events: []kv.Event{{Entry: entry, Prev: &entry}, {Entry: entry, Deleted: true}}}
	parts := WatchEvents(b)
	if len(parts) != 1 {
		t.Fatalf("%d parts", len(parts))
	}
	got := new(api.WatchUpdate)
	if err := proto.Unmarshal(parts[0], got); err != nil {
		t.Fatal(err)
	}
	e := &api.Entry{Key: []byte("k"), Value: []byte("v"), Version: 1, CreateRevision: 2, ModRevision: 3, Lease: 4}
	want := &api.WatchUpdate{Batches: []*api.EventBatch{{Revision: 3, Events: []*api.Event{{Entry: e, Prev: e}, {Entry: e, Deleted: true}}}}}
	if !proto.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
