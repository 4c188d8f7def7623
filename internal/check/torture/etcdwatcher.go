package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"balsa.example/internal/check/history"
	"balsa.example/kv"
)

const (
	// etcdAskEvery is how often progress is asked for, and etcdSilence after how long without a message
	// a watch goes on at another server.
	etcdAskEvery = 300 * time.Millisecond
	etcdSilence  = 3 * time.Second
	// etcdTold is how long a watch may take in the end until it has told of everything.
	etcdTold = 20 * time.Second
)

// errElsewhere: the watch goes on at another server, without a reason.
var errElsewhere = errors.New("the watch goes on elsewhere")

// etcdWatch is what was told, over one connection after the other, to one watcher of the etcd API.
type etcdWatch struct {
	history.Stream
	next uint64 // the first revision of which it was not told
}

// etcdWatcher has some watches, all on one stream. It goes to another server when that breaks,
// and often without a reason.
type etcdWatcher struct {
	client  *etcdClient
	record  *etcdRecord
	rng     *rand.Rand
	watches []*etcdWatch
	until   atomic.Uint64 // the revision up to which it has to be told of everything; 0: not known yet
}

// newEtcdWatcher watches a span from a revision on, and some of it besides.
func newEtcdWatcher(client *etcdClient, record *etcdRecord, rng *rand.Rand, one string) *etcdWatcher {
	w := &etcdWatcher{client: client, record: record, rng: rng}
	for _, s := range []history.Stream{
		{Span: record.span, Prev: true},
		{Span: kv.Single(one)},
		{Span: record.span, NoPuts: true, Prev: rng.IntN(2) == 0},
		{Span: record.span, NoDeletes: true},
	} {
		s.From = record.base + 1
		w.watches = append(w.watches, &etcdWatch{Stream: s, next: s.From})
	}
	return w
}

// run watches until all is told, or ctx ends.
func (w *etcdWatcher) run(ctx context.Context) error {
	defer w.client.close()
	for {
		conn, err := w.client.connection(ctx)
		if err == nil {
			err = w.watch(ctx, conn)
			w.client.close()
		}
		var wrong *etcdWatchError
		switch {
		case err == nil || errors.As(err, &wrong):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("watches of the API of etcd have to be told of everything up to revision %d, and have %d: %w", w.until.Load(), w.positions(), err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (w *etcdWatcher) positions() (all []uint64) {
	for _, one := range w.watches {
		all = append(all, one.next-1)
	}
	return all
}

// etcdWatchError is a message that a stream may not have.
type etcdWatchError struct{ message *pb.WatchResponse }

func (e *etcdWatchError) Error() string {
	return fmt.Sprintf("a watch of the API of etcd was told: %v", e.message)
}

// watch goes on with all watches on one stream.
func (w *etcdWatcher) watch(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		return err
	}
	for i, one := range w.watches {
		if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: one.request(int64(i + 1))}}); err != nil {
			return err
		}
	}
	asking.Go(func() { askProgress(ctx, stream) })
	silence := time.AfterFunc(etcdSilence, cancel)
	defer silence.Stop()
	leave := time.Now().Add(time.Duration(1+w.rng.IntN(5)) * time.Second)
	for !w.over() {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		silence.Reset(etcdSilence)
		if err := w.hear(r); err != nil {
			return err
		}
		if time.Now().After(leave) {
			return errElsewhere
		}
	}
	return nil
}

// request creates the watch, behind what it was told.
func (s *etcdWatch) request(id int64) *pb.WatchCreateRequest {
	r := &pb.WatchCreateRequest{WatchId: id, Key: []byte(s.Span.From), StartRevision: int64(s.next), PrevKv: s.Prev, ProgressNotify: true}
	if _, one := s.Span.One(); !one {
		r.RangeEnd = []byte(s.Span.To)
	}
	if s.NoPuts {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if s.NoDeletes {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NODELETE)
	}
	return r
}

// askProgress asks for progress again and again, until ctx ends.
func askProgress(ctx context.Context, stream pb.Watch_WatchClient) {
	ticker := time.NewTicker(etcdAskEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// over tells whether all that has to be told was told.
func (w *etcdWatcher) over() bool {
	until := w.until.Load()
	for _, one := range w.watches {
		if until == 0 || one.next <= until {
			return false
		}
	}
	return true
}

// hear takes a message. Progress with the id -1 is that of all watches.
func (w *etcdWatcher) hear(r *pb.WatchResponse) error {
	if r.WatchId == -1 && len(r.Events) == 0 && !r.Created && !r.Canceled {
		for _, one := range w.watches {
			one.progress(uint64(r.Header.Revision))
		}
		return nil
	}
	if r.WatchId < 1 || r.WatchId > int64(len(w.watches)) || r.Fragment {
		return &etcdWatchError{r}
	}
	one := w.watches[r.WatchId-1]
	switch {
	case r.Canceled || r.Created && len(r.Events) > 0:
		return &etcdWatchError{r} // nobody compacts
	case r.Created:
	case len(r.Events) == 0:
		one.progress(uint64(r.Header.Revision))
	default:
		w.record.told(one.events(r.Events))
	}
	return nil
}

func (s *etcdWatch) progress(revision uint64) {
	s.Batches = append(s.Batches, history.Batch{Progress: revision})
	s.next = max(s.next, revision+1)
}

// events adds a message, and returns it.
func (s *etcdWatch) events(told []*mvccpb.Event) []kv.Event {
	var b history.Batch
	for _, event := range told {
		e := kv.Event{Entry: etcdEntry(event.Kv), Deleted: event.Type == mvccpb.Event_DELETE}
		if event.PrevKv != nil {
			prev := etcdEntry(event.PrevKv)
			e.Prev = &prev
		}
		b.Events = append(b.Events, e)
	}
	s.Batches = append(s.Batches, b)
	s.next = b.Events[len(b.Events)-1].ModRevision + 1
	return b.Events
}

func etcdEntry(e *mvccpb.KeyValue) kv.Entry {
	return kv.Entry{
		Key: string(e.Key), Value: e.Value, Version: uint64(e.Version), CreateRevision: uint64(e.CreateRevision),
		ModRevision: uint64(e.ModRevision), Lease: e.Lease,
	}
}
