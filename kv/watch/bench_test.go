package watch_test

import (
	"fmt"
	"testing"

	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// BenchmarkEvent is one event from Publish to the last Next. The watchers that get it are
// spread over streams; the others watch other keys and prefixes.
func BenchmarkEvent(b *testing.B) {
	for _, bm := range []struct{ receivers, streams, others int }{
		{0, 0, 0}, {1, 1, 0}, {1, 1, 10_000}, {1_000, 1, 0}, {1_000, 10, 0}, {1_000, 1_000, 0}, {10_000, 100, 0},
	} {
		b.Run(fmt.Sprintf("receivers=%d/streams=%d/others=%d", bm.receivers, bm.streams, bm.others), func(b *testing.B) {
			h := watch.New(newStore(watch.Limits{}), 1, 0, watch.Limits{}, func() {})
			var streams []*watch.Stream
			for range bm.streams {
				streams = append(streams, h.NewStream(watch.NativeFace, func() {}))
			}
			for i := range bm.receivers {
				_ = streams[i%bm.streams].Watch(watch.Request{ID: int64(i), Span: kv.Prefix("key")})
			}
			for i := range bm.others {
				span := kv.Prefix(fmt.Sprintf("other%d/", i))
				if i%2 == 0 {
					span = kv.Single(fmt.Sprintf("kez%d", i))
				}
				_ = streams[0].Watch(watch.Request{ID: int64(bm.receivers + i), Span: span})
			}
			events := []kv.Event{{Entry: kv.Entry{Key: "key1", Value: make([]byte, 256)}}}
			revision := uint64(1)
			event := func() {
				revision++
				h.Publish(revision, events)
				h.Match()
				for _, s := range streams {
					for {
						if _, ok := s.Next(1 << 20); !ok {
							break
						}
					}
				}
			}
			event()
			b.ReportAllocs()
			for b.Loop() {
				event()
			}
			if bm.receivers > 0 {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bm.receivers), "ns/delivery")
			}
		})
	}
}

// BenchmarkPublish is what the goroutine that executes the log spends.
func BenchmarkPublish(b *testing.B) {
	h := watch.New(newStore(watch.Limits{}), 1, 0, watch.Limits{}, func() {})
	_ = h.NewStream(watch.NativeFace, func() {}).Watch(watch.Request{ID: 1})
	events := []kv.Event{{Entry: kv.Entry{Key: "key1", Value: make([]byte, 256)}}}
	for revision := uint64(2); b.Loop(); revision++ {
		h.Publish(revision, events)
		if revision%1000 == 0 {
			b.StopTimer()
			h.Match()
			b.StartTimer()
		}
	}
}
