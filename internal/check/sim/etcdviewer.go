package sim

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/internal/check/history"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// maxFragment is how large a fragment of a response is, in bytes: so small that there are many.
const maxFragment = 150

// etcdViewing is what a connection has of the etcd API: the translation, which is the server's, and
// the client's part.
type etcdViewing struct {
	c       *viewing
	session translate.WatchSession
	message translate.WatchMessage
	// partial are the fragments of a response that have come.
	partial *pb.WatchResponse
}

// newEtcdViewing asks for the watcher of a viewer.
func newEtcdViewing(c *viewing) *etcdViewing {
	e := &etcdViewing{c: c}
	asks := &c.v.asks
	r := &pb.WatchCreateRequest{
		Key: []byte(asks.Span.From), RangeEnd: []byte(asks.Span.To), StartRevision: int64(c.v.next), PrevKv: asks.Prev,
		Fragment: c.v.w.chance(0.5), ProgressNotify: c.v.w.chance(0.5),
	}
	if asks.Span.From == "" {
		r.Key = []byte{0}
	}
	if asks.Span.To == "" {
		r.RangeEnd = []byte{0}
	}
	if asks.NoPuts {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if asks.NoDeletes {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NODELETE)
	}
	_ = e.session.Create(r, nil, c.stream)
	return e
}

// tell sends what the hub hands out.
func (e *etcdViewing) tell(out *watch.Output) {
	send := func(m *translate.WatchMessage) error {
		r := m.Response()
		e.c.send(func() { e.hear(r) })
		return nil
	}
	for _, to := range e.session.Recipients(out) {
		e.message.Begin(out, translate.Origin{MemberID: uint64(e.c.n.id)})
		e.message.To(to.ID)
		if to.Fragment && e.message.Size() >= maxFragment {
			_ = e.message.Fragments(maxFragment, send)
		} else {
			_ = send(&e.message)
		}
	}
}

// hear takes a response, as a client of etcd does.
func (e *etcdViewing) hear(r *pb.WatchResponse) {
	v, revision := e.c.v, uint64(r.Header.Revision)
	v.w.check.counts.EtcdWatched++
	if progress := !r.Created && !r.Canceled && len(r.Events) == 0; r.WatchId != 0 && (!progress || r.WatchId != -1) {
		v.w.failf("watch", "%s answers a stream with one watcher for watcher %d", e.c.n.id, r.WatchId)
	}
	switch {
	case r.Created:
		v.hear(watch.Created, revision, history.Batch{})
	case r.Canceled:
		v.hear(watch.Canceled, revision, history.Batch{Compacted: uint64(r.CompactRevision)})
	case len(r.Events) == 0:
		v.hear(watch.Progress, revision, history.Batch{Progress: revision})
	default:
		e.hearEvents(r)
	}
}

func (e *etcdViewing) hearEvents(r *pb.WatchResponse) {
	if e.partial != nil {
		r.Events = append(e.partial.Events, r.Events...)
	}
	if e.partial = nil; r.Fragment {
		e.c.v.w.check.counts.EtcdFragments++
		e.partial = r
		return
	}
	var b history.Batch
	for _, event := range r.Events {
		heard := kv.Event{Entry: heardEntry(event.Kv), Deleted: event.Type == mvccpb.Event_DELETE}
		if event.PrevKv != nil {
			prev := heardEntry(event.PrevKv)
			heard.Prev = &prev
		}
		b.Events = append(b.Events, heard)
	}
	// Clients may go on behind the revision of the header, so it must not be ahead of the events.
	revision := uint64(r.Header.Revision)
	if last := b.Events[len(b.Events)-1].ModRevision; revision != last {
		e.c.v.w.failf("watch", "%s sends events up to revision %d under a header with revision %d", e.c.n.id, last, revision)
	}
	e.c.v.hear(watch.Events, revision, b)
}

func heardEntry(e *mvccpb.KeyValue) kv.Entry {
	return kv.Entry{
		Key: string(e.Key), Value: e.Value, Version: uint64(e.Version), CreateRevision: uint64(e.CreateRevision),
		ModRevision: uint64(e.ModRevision), Lease: e.Lease,
	}
}
