package etcd_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/kv/watch"
)

// client32 bounds what is on its way to a client to 32 MiB, without what it shares with others.
type client32 struct {
	mu    sync.Mutex
	bytes int64
}

func (*client32) AddWatcher() error  { return nil }
func (*client32) RemoveWatchers(int) {}

func (b *client32) Reserve(bytes int64) bool {
	defer time.Sleep(time.Microsecond) // until all who are awake have had their turn
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes+bytes > 32<<20 {
		return false
	}
	b.bytes += bytes
	return true
}

func (b *client32) Release(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= bytes
}

// slowReader is a stream of a client that takes what is sent, one message after the other.
type slowReader struct {
	ctx   context.Context
	sent  bool
	turn  chan struct{}
	large *atomic.Int64
}

func (r *slowReader) Context() context.Context  { return r.ctx }
func (r *slowReader) Stopping() <-chan struct{} { return r.ctx.Done() }
func (r *slowReader) Receive(m proto.Message) error {
	if r.sent {
		<-r.ctx.Done()
		return r.ctx.Err()
	}
	r.sent = true
	m.(*pb.WatchRequest).RequestUnion = &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{RangeEnd: []byte{0}}}
	return nil
}

func (r *slowReader) Send(m proto.Message) error {
	if e, ok := m.(etcd.Encoded); ok && e.Size() < 1000 {
		return nil
	}
	select {
	case <-r.turn:
		r.large.Add(1)
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// TestManyStreamsOfAClientGetALargeRevision: they do not wait for one another's memory for ever.
func TestManyStreamsOfAClientGetALargeRevision(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, _ *watchClient) {
		const streams = 1200
		b, turn, large := new(client32), make(chan struct{}), new(atomic.Int64)
		ctx, cancel := context.WithCancel(w.Context())
		defer cancel()
		for range streams {
			go func() {
				_ = w.Watch(&etcd.Caller{Bounds: b}, &slowReader{ctx: ctx, turn: turn, large: large})
			}()
		}
		synctest.Wait()
		var keys []string
		for i := range 60 {
			keys = append(keys, fmt.Sprint("k", i))
		}
		w.put(strings.Repeat("v", 100_000), keys...)
		go func() {
			for {
				time.Sleep(time.Millisecond)
				select {
				case turn <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
		}()
		for last := int64(-1); large.Load() < streams; time.Sleep(time.Minute) {
			if large.Load() == last {
				b.mu.Lock()
				t.Errorf("%d of %d streams were told; the others wait, and %d bytes count for them", last, streams, b.bytes)
				b.mu.Unlock()
				break
			}
			last = large.Load()
		}
	})
}
