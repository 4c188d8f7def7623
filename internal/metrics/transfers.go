package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Transfers measures states that are sent to members and received from them, by etcd's names. It is a
// prometheus.Collector. What a member never had is not shown, as in etcd.
type Transfers struct {
	together
	of [2]transfers // received, and sent
}

type transfers struct {
	running  *prometheus.GaugeVec
	done     *prometheus.CounterVec
	failed   *prometheus.CounterVec
	duration *prometheus.HistogramVec // of those that did not fail
}

// NewTransfers returns a Transfers without any.
func NewTransfers() *Transfers {
	t := &Transfers{of: [2]transfers{
		newTransfers("etcd_network_snapshot_receive_", "received from the peer", "From"),
		newTransfers("etcd_network_snapshot_send_", "sent to the peer", "To"),
	}}
	for _, of := range t.of {
		t.together = append(t.together, of.running, of.done, of.failed, of.duration)
	}
	return t
}

func newTransfers(prefix, what, label string) transfers {
	labels := []string{label}
	return transfers{
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + "inflights_total", Help: "States that are being " + what + "."}, labels),
		done:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "success", Help: "States that were " + what + "."}, labels),
		failed:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "failures", Help: "States that were not " + what + " to their end."}, labels),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "total_duration_seconds", Help: "How long states took to be " + what + ".", Buckets: prometheus.ExponentialBuckets(0.1, 2, 10),
		}, labels),
	}
}

// Begin counts a state that begins to be sent to a member, or received from it, until what it returns is called with
// how that ended.
func (t *Transfers) Begin(peer uint64, sent bool) (end func(error)) {
	of, id, began := &t.of[yes(sent)], etcdID(peer), time.Now()
	of.running.WithLabelValues(id).Inc()
	return func(err error) {
		of.running.WithLabelValues(id).Dec()
		if err != nil {
			of.failed.WithLabelValues(id).Inc()
			return
		}
		of.done.WithLabelValues(id).Inc()
		of.duration.WithLabelValues(id).Observe(time.Since(began).Seconds())
	}
}
