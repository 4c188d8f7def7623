package etcd_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd"
	shared "balsa.example/internal/frontend/watching"
	"balsa.example/kv/watch"
)

// bounds counts for one client.
type bounds struct {
	most int // watchers

	mu       sync.Mutex
	watchers int
	bytes    int64
	highest  int64
	full     bool
}

func (b *bounds) AddWatcher() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers == b.most {
		return watch.ErrTooMany
	}
	b.watchers++
	return nil
}

func (b *bounds) RemoveWatchers(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers -= n
}

func (b *bounds) Reserve(bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full {
		return false
	}
	b.bytes += bytes
	b.highest = max(b.highest, b.bytes)
	return true
}

func (b *bounds) Release(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= bytes
}

func (b *bounds) fill(full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full = full
}

func TestRevisionIsInOneResponseUnlessFragmentsAreAsked(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, _ *watchClient) {
		b := &bounds{most: 10}
		c := w.open(etcd.Caller{Bounds: b})
		c.all()
		c.create(&pb.WatchCreateRequest{RangeEnd: []byte{0}, Fragment: true})
		c.create(&pb.WatchCreateRequest{Key: key("k1"), Fragment: true})
		c.told()
		var keys []string
		for i := range 50 {
			keys = append(keys, fmt.Sprint("k", i))
		}
		w.put(strings.Repeat("v", 100_000), keys...)
		w.put("1", keys[1:]...)
		events, fragments, last := map[int64]int{}, 0, int64(0)
		for events[0]+events[1] < 2*99 {
			r := <-c.responses
			n := len(r.Events)
			switch {
			case r.WatchId == 0 && r.Header.Revision == 2 && n != 50, r.WatchId != 1 && r.Fragment:
				t.Errorf("%d of %d events, fragment %v, for %d", n, 50, r.Fragment, r.WatchId)
			case r.WatchId == 1:
				if size := proto.Size(r); size >= 2<<20 {
					t.Errorf("a fragment of %d bytes", size)
				}
				if fragments++; fragments > 1 && events[1] < 50 && last != 1 {
					t.Error("there is another response between fragments")
				}
				if more := events[1]+n < 50; r.Fragment != more {
					t.Errorf("fragment %v after %d events", r.Fragment, events[1]+n)
				}
			}
			last = r.WatchId
			events[r.WatchId] += n
		}
		if fragments < 4 { // three, and the small revision
			t.Errorf("%d fragments", fragments)
		}
		if b.highest < 5_000_000 || b.highest > 9<<20 {
			t.Errorf("large responses count for %d bytes", b.highest)
		}
		c.cancel()
		if synctest.Wait(); b.bytes != 0 || b.watchers != 0 {
			t.Errorf("%d bytes, %d watchers still count", b.bytes, b.watchers)
		}
	})
}

func TestSlowReaderCostsACursorAndDelaysNobody(t *testing.T) {
	watching(t, watch.Limits{RingBytes: 100_000}, func(w *watched, quick *watchClient) {
		b := &bounds{most: 1}
		slow := w.open(etcd.Caller{Bounds: b})
		slow.all()
		quick.all()
		quick.expect("0@1 created")
		const last = 500
		next := int64(2)
		read := func(c *watchClient) {
			for _, e := range (<-c.responses).Events {
				if e.Kv.ModRevision != next {
					t.Fatalf("revision %d, want %d", e.Kv.ModRevision, next)
				}
				next++
			}
		}
		for r := uint64(1); r < last; {
			r = w.put(strings.Repeat("v", 1000), "a")
			synctest.Wait()
			for next <= int64(r) {
				read(quick)
			}
		}
		if b.bytes != shared.MaxBytes {
			t.Errorf("%d bytes are on their way to a client that does not read", b.bytes)
		}
		for next = 2; next <= last; {
			read(slow)
		}
		slow.cancel()
	})
}

func TestReceiverOfWatchesWaitsForNoSender(t *testing.T) {
	watching(t, watch.Limits{StreamWatchers: 10}, func(w *watched, c *watchClient) {
		requests := 0
		for synctest.Wait(); c.receiving.Load(); synctest.Wait() {
			c.create(&pb.WatchCreateRequest{Key: key("a"), WatchId: 1})
			if requests++; requests > 1000 {
				t.Fatal("the answers that wait are not bounded")
			}
			if synctest.Wait(); c.receiving.Load() {
				c.cancelWatcher(1)
			}
		}
		if requests < 10 {
			t.Errorf("ends after %d requests", requests)
		}
		c.told() // the sender waits for that
		if c.over("etcdserver: too many requests"); w.hub.Active() {
			t.Error("somebody watches")
		}
	})
}

func TestWatchersOfACallerAreBounded(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, _ *watchClient) {
		b := &bounds{most: 2}
		c := w.open(etcd.Caller{Bounds: b})
		c.all()
		c.all()
		c.all()
		c.expect("0@1 created", "1@1 created", "-1@1 created canceled: etcdserver: too many requests")
		c.cancelWatcher(0)
		c.expect("0@1 canceled")
		c.all()
		c.expect("2@1 created")
		w.put("1", "a")
		w.put("2", "a")
		w.compact(3)
		c.told()
		b.fill(true)
		w.put("3", "a")
		c.expect() // there is no memory
		b.fill(false)
		time.Sleep(time.Second)
		c.expect("1@4 a=3", "2@4 a=3")
		c.cancel()
		c.over("etcdserver: watch canceled")
		if b.watchers != 0 || b.bytes != 0 {
			t.Errorf("%d watchers and %d bytes still count", b.watchers, b.bytes)
		}
	})
}

// A member that is behind by much receives a state. Its watchers go on from the history.
func TestWatchersGoOnWhenTheStateIsReplaced(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.all()
		c.create(&pb.WatchCreateRequest{Key: key("b"), StartRevision: 4, PrevKv: true})
		c.told()
		w.deaf = true
		w.put("2", "a", "b")
		w.put("3", "b")
		w.put("4", "b")
		c.expect()
		w.replaced()
		c.expect("0@4 a=2 b=2 b=3 b=4", "1@4 b=4[3@3]")
		w.deaf = true
		w.put("5", "a")
		w.put("6", "a")
		w.compact(6)
		w.replaced()
		c.expect("0@6 canceled compacted 6", "1@6 canceled compacted 6")
	})
}

func TestThousandsOfWatchersAndStreams(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		const watchers, streams = 5000, 1000
		for i := range watchers {
			c.create(&pb.WatchCreateRequest{Key: fmt.Appendf(nil, "k%d", i%100)})
			<-c.responses
		}
		var all []*watchClient
		for range streams {
			s := w.open(etcd.Caller{})
			s.create(&pb.WatchCreateRequest{Key: key("k7")})
			<-s.responses
			all = append(all, s)
		}
		w.put("1", "k7")
		seen := map[int64]bool{}
		for range watchers / 100 {
			r := <-c.responses
			if len(r.Events) != 1 || seen[r.WatchId] || r.WatchId%100 != 7 {
				t.Fatalf("%v", r)
			}
			seen[r.WatchId] = true
		}
		c.expect()
		for _, s := range all {
			s.expect("0@2 k7=1")
			s.cancel()
		}
	})
}
