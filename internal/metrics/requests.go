package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// timedOneIn is which part of the requests is timed. To read the clock twice and to
// file the result costs more than all else here.
const timedOneIn = 16

var requestsTotal = prometheus.NewDesc("balsa_requests_total",
	"Requests answered, by what was asked and what was answered.", []string{"kind", "code"}, nil)

// Requests counts requests by kind and outcome, and times some of them. Kinds and
// codes are small numbers with names; all others count as "other". It is a
// prometheus.Collector.
type Requests struct {
	kinds, codes []string
	counts       []atomic.Uint64 // [kind][code], as one
	begun        atomic.Uint64
	durations    []prometheus.Observer // by kind
	histogram    *prometheus.HistogramVec
}

// NewRequests returns a Requests with the given names of kinds and codes.
func NewRequests(kinds, codes []string) *Requests {
	r := &Requests{
		kinds: append(kinds[:len(kinds):len(kinds)], "other"),
		codes: append(codes[:len(codes):len(codes)], "other"),
		histogram: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "balsa_request_duration_seconds",
			Help:    "How long requests took from their arrival to their reply; one in 16 is timed.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17), // to 6.6 s
		}, []string{"kind"}),
	}
	r.counts = make([]atomic.Uint64, len(r.kinds)*len(r.codes))
	for _, kind := range r.kinds {
		r.durations = append(r.durations, r.histogram.WithLabelValues(kind))
	}
	return r
}

// Request is one that has begun.
type Request struct {
	requests *Requests
	kind     int
	start    time.Time // zero if it is not timed
}

// Begin says that a request of that kind has arrived.
func (r *Requests) Begin(kind int) Request {
	q := Request{requests: r, kind: bounded(kind, len(r.kinds))}
	if r.begun.Add(1)%timedOneIn == 0 {
		q.start = time.Now()
	}
	return q
}

// End says that it is answered.
func (q Request) End(code int) {
	r := q.requests
	r.counts[q.kind*len(r.codes)+bounded(code, len(r.codes))].Add(1)
	if !q.start.IsZero() {
		r.durations[q.kind].Observe(time.Since(q.start).Seconds())
	}
}

// bounded is i, or the last of n if there is no i.
func bounded(i, n int) int {
	if i < 0 || i >= n {
		return n - 1
	}
	return i
}

// Describe implements prometheus.Collector.
func (r *Requests) Describe(ch chan<- *prometheus.Desc) {
	ch <- requestsTotal
	r.histogram.Describe(ch)
}

// Collect implements prometheus.Collector. Outcomes that never were are left out.
func (r *Requests) Collect(ch chan<- prometheus.Metric) {
	for i := range r.counts {
		if n := r.counts[i].Load(); n > 0 {
			ch <- prometheus.MustNewConstMetric(requestsTotal, prometheus.CounterValue, float64(n),
				r.kinds[i/len(r.codes)], r.codes[i%len(r.codes)])
		}
	}
	r.histogram.Collect(ch)
}
