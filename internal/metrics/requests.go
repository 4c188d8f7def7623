package metrics

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// timedOneIn: one request in so many is timed, chosen at random. To read the clock twice and to
// record the result costs more than all else here.
const timedOneIn = 16

var requestsTotal = prometheus.NewDesc("balsa_requests_total",
	"Requests answered, by what was asked and what was answered.", []string{"kind", "code"}, nil)

// Requests counts requests by kind and outcome, and times some of them. Kinds and
// codes are small numbers with names; all others count as "other". It is a
// prometheus.Collector.
type Requests struct {
	codes []string
	kinds []*Kind
}

// Kind counts the requests of one kind.
type Kind struct {
	name     string
	counts   []atomic.Uint64 // by code
	duration prometheus.Histogram
}

// NewRequests returns a Requests with the given names of kinds and codes.
func NewRequests(kinds, codes []string) *Requests {
	const other = "other"
	r := &Requests{codes: append(slices.Clone(codes), other)}
	for _, name := range append(slices.Clone(kinds), other) {
		r.kinds = append(r.kinds, &Kind{
			name:   name,
			counts: make([]atomic.Uint64, len(r.codes)),
			duration: prometheus.NewHistogram(prometheus.HistogramOpts{
				Name:        "balsa_request_duration_seconds",
				Help:        "How long requests took from their arrival to their reply. One in 16 is timed.",
				Buckets:     prometheus.ExponentialBuckets(0.0001, 2, 17), // to 6.6 s
				ConstLabels: prometheus.Labels{"kind": name},
			}),
		})
	}
	return r
}

// Begin returns the counters for a request of the given kind, and whether to time it.
func (r *Requests) Begin(kind int) (k *Kind, timed bool) {
	return r.kinds[bounded(kind, len(r.kinds))], rand.Uint32()%timedOneIn == 0
}

// Count says that a request was answered with code.
func (k *Kind) Count(code int) { k.counts[bounded(code, len(k.counts))].Add(1) }

// Failed is how many requests were answered with one of the codes.
func (r *Requests) Failed(codes ...int) (n uint64) {
	for _, k := range r.kinds {
		for _, code := range codes {
			n += k.counts[bounded(code, len(k.counts))].Load()
		}
	}
	return n
}

// Time says how long a request that is to be timed took.
func (k *Kind) Time(took time.Duration) { k.duration.Observe(took.Seconds()) }

// bounded returns i, or n-1 if i is not below n.
func bounded(i, n int) int {
	if i < 0 || i >= n {
		return n - 1
	}
	return i
}

// Describe implements prometheus.Collector.
func (r *Requests) Describe(ch chan<- *prometheus.Desc) {
	ch <- requestsTotal
	for _, k := range r.kinds {
		k.duration.Describe(ch)
	}
}

// Collect implements prometheus.Collector. Counters that are 0 are left out.
func (r *Requests) Collect(ch chan<- prometheus.Metric) {
	for _, k := range r.kinds {
		seen := false
		for code := range k.counts {
			if n := k.counts[code].Load(); n > 0 {
				seen = true
				ch <- prometheus.MustNewConstMetric(requestsTotal, prometheus.CounterValue, float64(n), k.name, r.codes[code])
			}
		}
		if seen {
			k.duration.Collect(ch)
		}
	}
}
