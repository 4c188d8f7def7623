package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/internal/frontend/etcd/translate"
)

// Locks and elections are queues of keys below a name. Each who waits has a key there, on a lease
// and named by it. The key that was created first is the one of the holder. All of that is done by
// the other methods of the API, as clients of etcd do it themselves, so that both get along.

// queueTTL is the time to live in seconds of a lease that a request brings none for.
const queueTTL = 60

// place is a key in a queue.
type place struct {
	prefix, key string
	lease       int64
	created     int64 // revision of the key
	ours        bool  // this request has created it
}

// enqueue takes a place in the queue of a name, or returns the one that the lease has there.
// The value counts for a new one.
func (f *Face) enqueue(ctx context.Context, c *Caller, name []byte, lease int64, value []byte) (place, *pb.TxnResponse, error) {
	lease, err := f.leaseFor(ctx, c, lease)
	if err != nil {
		return place{}, nil, err
	}
	p := place{prefix: string(name) + "/", lease: lease}
	p.key = fmt.Sprintf("%s%x", p.prefix, lease)
	put := &pb.PutRequest{Key: []byte(p.key), Value: value, Lease: lease}
	get := &pb.RangeRequest{Key: []byte(p.key)}
	resp, err := f.Txn(ctx, c, &pb.TxnRequest{
		Compare: []*pb.Compare{p.unchanged()},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: get}}},
	})
	switch {
	case err != nil:
		return p, nil, err
	}
	if p.ours, p.created = resp.Succeeded, resp.Header.Revision; !p.ours {
		p.created = resp.Responses[0].GetResponseRange().Kvs[0].CreateRevision
	}
	return p, resp, nil
}

// leaseFor is a lease for a place: the one that is named, or a new one.
func (f *Face) leaseFor(ctx context.Context, c *Caller, lease int64) (int64, error) {
	if lease != 0 {
		return lease, nil
	}
	granted, err := f.LeaseGrant(ctx, c, &pb.LeaseGrantRequest{TTL: queueTTL})
	if err != nil {
		return 0, err
	}
	return granted.ID, nil
}

// unchanged compares the creation of the key.
func (p *place) unchanged() *pb.Compare {
	return &pb.Compare{Key: []byte(p.key), Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{CreateRevision: p.created}}
}

// ifUnchanged executes an operation if the place is still there.
func (f *Face) ifUnchanged(ctx context.Context, c *Caller, p *place, op *pb.RequestOp) (*pb.TxnResponse, error) {
	return f.Txn(ctx, c, &pb.TxnRequest{Compare: []*pb.Compare{p.unchanged()}, Success: []*pb.RequestOp{op}})
}

// remove gives a place up.
func (f *Face) remove(ctx context.Context, c *Caller, p *place) (*pb.TxnResponse, error) {
	del := &pb.DeleteRangeRequest{Key: []byte(p.key)}
	return f.ifUnchanged(ctx, c, p, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: del}})
}

// errPlaceLost ends a wait whose lease has ended.
var errPlaceLost = errors.New("the place in the queue is lost")

// awaitTurn returns when a place is the first of its queue, and still there. If it fails, it gives
// up a place that this request has taken.
func (f *Face) awaitTurn(ctx context.Context, c *Caller, p *place) (*pb.ResponseHeader, error) {
	h, err := f.awaitFirst(ctx, c, p)
	if err != nil && p.ours && !errors.Is(err, errPlaceLost) {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.requestTimeout())
		defer cancel()
		_, _ = f.remove(late, c, p) // else it ends with its lease
	}
	return h, err
}

func (f *Face) awaitFirst(ctx context.Context, c *Caller, p *place) (*pb.ResponseHeader, error) {
	for {
		// The last of those who came before is the next to wait for.
		before := rangeOfPrefix(p.prefix)
		before.SortTarget, before.SortOrder, before.Limit = pb.RangeRequest_CREATE, pb.RangeRequest_DESCEND, 1
		before.MaxCreateRevision, before.KeysOnly = p.created-1, true
		resp, err := f.Range(ctx, c, before)
		if err != nil {
			return nil, err
		}
		if len(resp.Kvs) == 0 {
			break
		}
		err = f.watch(ctx, c, &pb.WatchCreateRequest{
			Key: resp.Kvs[0].Key, StartRevision: resp.Header.Revision + 1, Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT},
		}, func(r *pb.WatchResponse) (bool, error) { return len(r.Events) == 0, nil })
		if err != nil {
			return nil, err
		}
	}
	// The lease may have ended while the key was waited for.
	resp, err := f.Range(ctx, c, &pb.RangeRequest{Key: []byte(p.key), KeysOnly: true})
	if err != nil {
		return nil, err
	}
	if len(resp.Kvs) == 0 || resp.Kvs[0].CreateRevision != p.created {
		return nil, errPlaceLost
	}
	return resp.Header, nil
}

// first returns the holder's key of a queue, nil if there is none.
func (f *Face) first(ctx context.Context, c *Caller, name []byte) (*pb.ResponseHeader, *mvccpb.KeyValue, error) {
	r := rangeOfPrefix(string(name) + "/")
	r.SortTarget, r.Limit = pb.RangeRequest_CREATE, 1
	resp, err := f.Range(ctx, c, r)
	if err != nil || len(resp.Kvs) == 0 {
		return resp.GetHeader(), nil, err
	}
	return resp.Header, resp.Kvs[0], nil
}

// rangeOfPrefix reads all keys with a prefix, which does not end in a byte of 0xff.
func rangeOfPrefix(prefix string) *pb.RangeRequest {
	return &pb.RangeRequest{Key: []byte(prefix), RangeEnd: translate.PrefixEnd(prefix)}
}

// watch hands responses with events to take as long as that returns true. A watcher that has to
// begin at a compacted revision ends without an error: what it waits for may have happened.
func (f *Face) watch(ctx context.Context, c *Caller, create *pb.WatchCreateRequest, take func(*pb.WatchResponse) (more bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	own := *c // a Watch notes in it what its user may do
	w := &watcher{ctx: ctx, create: create, take: take}
	switch err := f.Watch(&own, w); {
	case errors.Is(err, errEnough):
		return nil
	case err != nil:
		return err
	}
	return translate.ErrStopped // a Watch ends by itself when the member stops
}

// watcher is the Stream of one watch that this member makes itself.
type watcher struct {
	ctx    context.Context
	create *pb.WatchCreateRequest // nil when it was received
	take   func(*pb.WatchResponse) (more bool, err error)
}

var errEnough = errors.New("watched enough")

// Context implements Stream.
func (w *watcher) Context() context.Context { return w.ctx }

// Stopping implements Stream.
func (w *watcher) Stopping() <-chan struct{} { return w.ctx.Done() }

// Receive implements Stream.
func (w *watcher) Receive(m proto.Message) error {
	if w.create == nil {
		<-w.ctx.Done()
		return io.EOF
	}
	m.(*pb.WatchRequest).RequestUnion = &pb.WatchRequest_CreateRequest{CreateRequest: w.create}
	w.create = nil
	return nil
}

// Send implements Stream.
func (w *watcher) Send(m proto.Message) error {
	r, ok := m.(*pb.WatchResponse)
	if encoded, is := m.(Encoded); is {
		own, shared := encoded.Wire()
		r = new(pb.WatchResponse)
		if err := proto.Unmarshal(slices.Concat(append([][]byte{own}, shared...)...), r); err != nil {
			return err
		}
	} else if !ok {
		return errors.New("a watch sent something else than a response")
	}
	switch {
	case r.Canceled && r.CompactRevision != 0:
		return errEnough
	case r.Canceled:
		return &translate.Error{Code: translate.Canceled, Text: r.CancelReason}
	case len(r.Events) == 0:
		return nil
	}
	more, err := w.take(r)
	if err == nil && !more {
		err = errEnough
	}
	return err
}
