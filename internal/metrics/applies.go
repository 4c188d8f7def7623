package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Applies times the commands that a member executes, by etcd's name. It is a prometheus.Collector.
type Applies struct {
	names []string
	times [][2]timeCounts // of what failed, and of what did not
}

var applyDuration = prometheus.NewDesc("etcd_server_apply_duration_seconds",
	"How long commands took to be executed: each has the same share of the time of those that were executed together.", []string{"version", "op", "success"}, nil)

// NewApplies returns an Applies for commands with these names.
func NewApplies(names []string) *Applies {
	return &Applies{names: names, times: make([][2]timeCounts, len(names))}
}

// Executed counts commands by the place of their name: each has taken so long.
func (a *Applies) Executed(name int, ok bool, count int, each time.Duration) {
	a.times[name][yes(ok)].add(bucketOf(each, firstBound), uint64(count), time.Duration(count)*each)
}

// Describe implements prometheus.Collector.
func (a *Applies) Describe(ch chan<- *prometheus.Desc) { ch <- applyDuration }

// Collect implements prometheus.Collector. As in etcd, what was not executed is not shown.
func (a *Applies) Collect(ch chan<- prometheus.Metric) {
	for name := range a.times {
		for ok := range a.times[name] {
			if m, some := a.times[name][ok].metricOfSome(applyDuration, timeBounds, "v3", a.names[name], strconv.FormatBool(ok == 1)); some {
				ch <- m
			}
		}
	}
}
