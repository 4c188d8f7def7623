package metrics

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requestTimes is a histogram of the times of all requests of one kind. It is made for the path of
// requests: to add a time is two additions, in one of several shards, so that processors do not wait
// for each other's cache lines. A histogram of package prometheus costs several times that.
type requestTimes struct {
	shards [timeShards]struct {
		buckets [timeBuckets + 1]atomic.Uint64 // the last one is for what takes longer than all bounds
		total   atomic.Int64                   // nanoseconds
		_       [cacheLine]byte
	}
}

const (
	timeShards = 8
	cacheLine  = 64
	// Bucket i ends at firstBound times 2^i: the last one at 6.6 s.
	timeBuckets = 17
	firstBound  = 100 * time.Microsecond
)

// timeBounds are the bounds in seconds.
var timeBounds = prometheus.ExponentialBuckets(firstBound.Seconds(), 2, timeBuckets)

// add adds a time.
func (t *requestTimes) add(took time.Duration) {
	s := &t.shards[rand.Uint32()%timeShards]
	s.buckets[bucketOf(took)].Add(1)
	s.total.Add(int64(took))
}

// bucketOf is the first bucket whose bound is not less.
func bucketOf(took time.Duration) int {
	return min(bits.Len64(uint64(max(took-1, 0)/firstBound)), timeBuckets)
}

// count is how many were added so far.
func (t *requestTimes) count() (n uint64) {
	for i := range t.shards {
		for bucket := range t.shards[i].buckets {
			n += t.shards[i].buckets[bucket].Load()
		}
	}
	return n
}

// metric is what was added so far.
func (t *requestTimes) metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	m, _ := t.metricOfSome(desc, labels...)
	return m
}

// metricOfSome is metric, and whether anything was added.
func (t *requestTimes) metricOfSome(desc *prometheus.Desc, labels ...string) (m prometheus.Metric, some bool) {
	var count uint64
	var total time.Duration
	upTo := make(map[float64]uint64, timeBuckets)
	for bucket := range timeBuckets + 1 {
		for i := range t.shards {
			count += t.shards[i].buckets[bucket].Load()
		}
		if bucket < timeBuckets {
			upTo[timeBounds[bucket]] = count
		}
	}
	for i := range t.shards {
		total += time.Duration(t.shards[i].total.Load())
	}
	return prometheus.MustNewConstHistogram(desc, count, total.Seconds(), upTo, labels...), count > 0
}

// began is when this process began, more or less. The time since then is read in half of the time that
// time.Now takes.
var began = time.Now()
