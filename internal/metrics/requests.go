package metrics

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	requestsTotal = prometheus.NewDesc("balsa_requests_total",
		"Requests answered, by what was asked and what was answered.", []string{"kind", "code"}, nil)
	requestDuration = prometheus.NewDesc("balsa_request_duration_seconds",
		"How long requests took from their arrival to their reply.", []string{"kind"}, nil)
)

// Requests counts and times requests by kind and outcome. Kinds and codes are small numbers with
// names; all others count as "other". It is a prometheus.Collector.
type Requests struct {
	// Failures may be nil.
	Failures *Failures
	codes    []string
	kinds    []*Kind
}

// Kind counts and times the requests of one kind.
type Kind struct {
	name   string
	counts []atomic.Uint64 // by code
	times  requestTimes
}

// NewRequests returns a Requests with the given names of kinds and codes.
func NewRequests(kinds, codes []string) *Requests {
	const other = "other"
	r := &Requests{codes: append(slices.Clone(codes), other)}
	for _, name := range append(slices.Clone(kinds), other) {
		r.kinds = append(r.kinds, &Kind{name: name, counts: make([]atomic.Uint64, len(r.codes))})
	}
	return r
}

// Now is when a request begins, for Time.
func Now() time.Duration { return time.Since(began) }

// Kind returns the counters for requests of a kind.
func (r *Requests) Kind(kind int) *Kind { return r.kinds[bounded(kind, len(r.kinds))] }

// Count says that a request was answered with code.
func (k *Kind) Count(code int) { k.counts[bounded(code, len(k.counts))].Add(1) }

// Time says that a request which has begun then ends now.
func (k *Kind) Time(then time.Duration) { k.times.add(Now() - then) }

// Failed is how many requests were answered with one of the codes.
func (r *Requests) Failed(codes ...int) (n uint64) {
	for _, k := range r.kinds {
		for _, code := range codes {
			n += k.counts[bounded(code, len(k.counts))].Load()
		}
	}
	return n
}

// Answered is how many requests of some kinds were answered with a code.
func (r *Requests) Answered(code int, kinds ...int) (n uint64) {
	for _, kind := range kinds {
		k := r.Kind(kind)
		n += k.counts[bounded(code, len(k.counts))].Load()
	}
	return n
}

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
	ch <- requestDuration
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
			ch <- k.times.metric(requestDuration, k.name)
		}
	}
}
