package metrics

import "github.com/prometheus/client_golang/prometheus"

// HealthChecks counts what /livez and /readyz have checked, by etcd's names. It is a prometheus.Collector.
type HealthChecks struct {
	together
	last *prometheus.GaugeVec
	all  *prometheus.CounterVec
}

// NewHealthChecks returns a HealthChecks without any.
func NewHealthChecks() *HealthChecks {
	h := &HealthChecks{
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "etcd_server_healthcheck", Help: "1 if what /livez or /readyz has checked last was well, else 0.",
		}, []string{"type", "name"}),
		all: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "etcd_server_healthchecks_total", Help: "What /livez and /readyz have checked: success or error.",
		}, []string{"type", "name", "status"}),
	}
	h.together = together{h.last, h.all}
	return h
}

// Checked counts a check with a name, of a type. Of both there are few.
func (h *HealthChecks) Checked(kind, name string, ok bool) {
	status := "error"
	if ok {
		status = "success"
	}
	h.last.WithLabelValues(kind, name).Set(float64(yes(ok)))
	h.all.WithLabelValues(kind, name, status).Inc()
}
