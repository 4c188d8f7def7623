package metrics

import "github.com/prometheus/client_golang/prometheus"

// Slow counts slow requests. It is a prometheus.Collector.
type Slow struct{ *prometheus.CounterVec }

// NewSlow returns a Slow without any.
func NewSlow() *Slow {
	return &Slow{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "balsa_requests_slow_total",
		Help: "Requests of both APIs that took as long as --slow-request, by what was asked.",
	}, []string{"kind"})}
}

// Count counts a request of a kind, of which there is a bounded number.
func (s *Slow) Count(kind string) { s.WithLabelValues(kind).Inc() }
