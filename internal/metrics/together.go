package metrics

import "github.com/prometheus/client_golang/prometheus"

// together are some collectors that are one.
type together []prometheus.Collector

// Describe implements prometheus.Collector.
func (t together) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range t {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (t together) Collect(ch chan<- prometheus.Metric) {
	for _, c := range t {
		c.Collect(ch)
	}
}
