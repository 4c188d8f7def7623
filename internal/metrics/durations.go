package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Commits measures the syncs of the files of the history. No write waits for them. It is a
// prometheus.Collector.
type Commits struct {
	together
	own, etcd prometheus.Histogram
	slow      prometheus.Counter
}

// slowCommit is as long as what etcd counts as a slow apply: there the two are one.
const slowCommit = 100 * time.Millisecond

// NewCommits returns a Commits without observations.
func NewCommits() *Commits {
	const help = "How long the syncs of the files of the history took, for which no write waits."
	c := &Commits{
		own: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "balsa_store_fsync_duration_seconds", Help: help, Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17),
		}),
		etcd: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "etcd_disk_backend_commit_duration_seconds", Help: help, Buckets: etcdBuckets(14),
		}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "etcd_server_slow_apply_total", Help: "Syncs of the files of the history that took 100 ms or more.",
		}),
	}
	c.together = together{c.own, c.etcd, c.slow}
	return c
}

// Observe counts a sync.
func (c *Commits) Observe(took time.Duration) {
	c.own.Observe(took.Seconds())
	c.etcd.Observe(took.Seconds())
	if took >= slowCommit {
		c.slow.Inc()
	}
}

// RoundTrips measures how long messages to peers take there and back. It is a prometheus.Collector.
type RoundTrips struct {
	together
	own, etcd *prometheus.HistogramVec
}

// NewRoundTrips returns a RoundTrips without observations.
func NewRoundTrips() *RoundTrips {
	const help = "How long it takes to the peer and back, as TCP measures it: observed once a second."
	r := &RoundTrips{
		own: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "balsa_peer_round_trip_seconds", Help: help, Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17),
		}, []string{"peer"}),
		etcd: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "etcd_network_peer_round_trip_time_seconds", Help: help, Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}, []string{"To"}),
	}
	r.together = together{r.own, r.etcd}
	return r
}

// Observe counts a round trip to the peer with a name and an id. 0: there is a peer, and nothing is
// known.
func (r *RoundTrips) Observe(peer string, id uint64, took time.Duration) {
	own, etcd := r.own.WithLabelValues(peer), r.etcd.WithLabelValues(etcdID(id))
	if took > 0 {
		own.Observe(took.Seconds())
		etcd.Observe(took.Seconds())
	}
}
