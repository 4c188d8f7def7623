package metrics

import (
	"math"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// A time is in the bucket where a histogram of package prometheus would have it.
func TestTimesAreInTheirBuckets(t *testing.T) {
	for i, bound := range timeBounds {
		end := firstBound << i
		if seconds := end.Seconds(); math.Abs(seconds-bound) > 1e-12 {
			t.Errorf("bound %d is %v, want %v", i, bound, seconds)
		}
		if bucketOf(end, firstBound) != i || bucketOf(end+1, firstBound) != i+1 {
			t.Errorf("%s is in bucket %d, what takes longer in %d; want %d and %d", end, bucketOf(end, firstBound), bucketOf(end+1, firstBound), i, i+1)
		}
	}
	for _, took := range []time.Duration{-time.Second, 0, 1} {
		if bucketOf(took, firstBound) != 0 {
			t.Errorf("%s is in bucket %d", took, bucketOf(took, firstBound))
		}
	}
	if bucketOf(math.MaxInt64, firstBound) != timeBuckets {
		t.Errorf("the longest time is in bucket %d", bucketOf(math.MaxInt64, firstBound))
	}
}

func TestAllTimesAreCounted(t *testing.T) {
	var times requestTimes
	var all sync.WaitGroup
	const adders, each = 8, 1000
	for range adders {
		all.Go(func() {
			for range each {
				times.add(time.Millisecond)
			}
		})
	}
	all.Wait()
	times.add(time.Minute)
	var m dto.Metric
	if err := times.metric(requestDuration, "put").Write(&m); err != nil {
		t.Fatal(err)
	}
	h := m.Histogram
	if n := h.GetSampleCount(); n != adders*each+1 {
		t.Errorf("%d times", n)
	}
	if s := h.GetSampleSum(); math.Abs(s-(adders*each/1000.+60)) > 1e-6 {
		t.Errorf("%v s in all", s)
	}
	if len(h.Bucket) != timeBuckets {
		t.Errorf("%d buckets", len(h.Bucket))
	}
	for _, b := range h.Bucket {
		want := uint64(0)
		if b.GetUpperBound() >= 0.001 {
			want = adders * each
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("%d times up to %v s, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
		}
	}
}
