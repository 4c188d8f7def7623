package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Syncs measures the syncs of the log. A write waits for the syncs of a majority, so look at
// them first when writes are slow. It is a prometheus.Collector.
type Syncs struct {
	together
	durations prometheus.Histogram
	etcd      prometheus.Histogram
	bytes     atomic.Uint64
}

// NewSyncs returns a Syncs without observations.
func NewSyncs() *Syncs {
	s := &Syncs{
		durations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "balsa_wal_fsync_duration_seconds",
			Help:    "How long the syncs of the log took that writes wait for.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17), // to 6.6 s
		}),
		etcd: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "etcd_disk_wal_fsync_duration_seconds", Help: "How long the syncs of the log took that writes wait for.",
			Buckets: etcdBuckets(14),
		}),
	}
	bytes := func() float64 { return float64(s.bytes.Load()) }
	s.together = together{
		s.durations, s.etcd,
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "balsa_wal_written_bytes_total", Help: "Bytes written to the log."}, bytes),
		// etcd counts by a gauge.
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "etcd_disk_wal_write_bytes_total", Help: "Bytes written to the log."}, bytes),
	}
	return s
}

// Observe counts a sync and the bytes written before it.
func (s *Syncs) Observe(took time.Duration, bytes int) {
	s.durations.Observe(took.Seconds())
	s.etcd.Observe(took.Seconds())
	s.bytes.Add(uint64(bytes))
}
