package metrics

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// timeCounts are how many times were in each bucket, and their sum. Any goroutine may use it.
type timeCounts struct {
	buckets [timeBuckets + 1]atomic.Uint64 // the last one is for what takes longer than all bounds
	total   atomic.Int64                   // nanoseconds
}

// add adds n times of a bucket, and their sum.
func (c *timeCounts) add(bucket int, n uint64, total time.Duration) {
	c.buckets[bucket].Add(n)
	c.total.Add(int64(total))
}

// requestTimes is a histogram of the times of all requests of one kind. It is made for the path of
// requests: to add a time is two additions, in one of several shards, so that processors do not wait
// for each other's cache lines. A histogram of package prometheus costs several times that.
type requestTimes struct {
	shards [timeShards]struct {
		timeCounts
		_ [cacheLine]byte
	}
}

const (
	timeShards = 8
	cacheLine  = 64
	// Bucket i ends at firstBound times 2^i: the last one at 52 s. These are the bounds of etcd where it times what
	// is short.
	timeBuckets = 20
	firstBound  = 100 * time.Microsecond
)

// timeBounds are the bounds in seconds.
var timeBounds = prometheus.ExponentialBuckets(firstBound.Seconds(), 2, timeBuckets)

// add adds a time.
func (t *requestTimes) add(took time.Duration) { t.addTo(bucketOf(took, firstBound), took) }

func (t *requestTimes) addTo(bucket int, took time.Duration) {
	t.shards[rand.Uint32()%timeShards].add(bucket, 1, took)
}

// bucketOf is the first bucket whose bound is not less, where the first one ends at first.
func bucketOf(took, first time.Duration) int {
	return min(bits.Len64(uint64(max(took-1, 0)/first)), timeBuckets)
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
	m, _ := t.metricOfSome(desc, timeBounds, labels...)
	return m
}

// metricOfSome is metric, and whether anything was added. bounds are those by which bucketOf was asked.
func (t *requestTimes) metricOfSome(desc *prometheus.Desc, bounds []float64, labels ...string) (m prometheus.Metric, some bool) {
	var all timeCounts
	for i := range t.shards {
		for bucket := range all.buckets {
			all.buckets[bucket].Add(t.shards[i].buckets[bucket].Load())
		}
		all.total.Add(t.shards[i].total.Load())
	}
	return all.metricOfSome(desc, bounds, labels...)
}

// metricOfSome is what was added so far, and whether anything was. What is beyond the last bound is in none of the
// buckets that are shown.
func (c *timeCounts) metricOfSome(desc *prometheus.Desc, bounds []float64, labels ...string) (m prometheus.Metric, some bool) {
	var count uint64
	upTo := make(map[float64]uint64, len(bounds))
	for bucket := range c.buckets {
		count += c.buckets[bucket].Load()
		if bucket < len(bounds) {
			upTo[bounds[bucket]] = count
		}
	}
	return prometheus.MustNewConstHistogram(desc, count, time.Duration(c.total.Load()).Seconds(), upTo, labels...), count > 0
}

// began is when this process began, more or less. The time since then is read in half of the time that
// time.Now takes.
var began = time.Now()
