package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a request was refused or failed. What a client has asked for itself, such as a condition that does
// not hold, is no failure.
const (
	FailedBound       = "bound"       // the client or the server has too much in progress
	FailedLate        = "late"        // its time was up before its turn came
	FailedQueue       = "queue"       // the log, or the disk below it, is behind
	FailedDisk        = "disk"        // the disk is almost full
	FailedMemory      = "memory"      // the index of the keys is as large as it may be
	FailedQuota       = "quota"       // the store is at its quota
	FailedAlarm       = "alarm"       // an alarm is raised, or the states of the replicas differ
	FailedLeader      = "leader"      // this server does not lead, or knows no leader
	FailedUnavailable = "unavailable" // the server starts, stops or cannot read what was asked for
	FailedUnknown     = "unknown"     // whether it was executed is not known
	FailedUser        = "user"        // its user is none, or may not do that
	FailedSize        = "size"        // it, or its answer, is too large
	FailedInvalid     = "invalid"     // it makes no sense
	FailedOther       = "other"
)

var failedReasons = []string{
	FailedBound, FailedLate, FailedQueue, FailedDisk, FailedMemory, FailedQuota, FailedAlarm, FailedLeader,
	FailedUnavailable, FailedUnknown, FailedUser, FailedSize, FailedInvalid, FailedOther,
}

var requestsFailed = prometheus.NewDesc("balsa_requests_failed_total",
	"Requests of both APIs that were refused or failed, by the reason.", []string{"reason"}, nil)

// Failures counts the requests that were refused or failed, by the reason. It is a
// prometheus.Collector. Any goroutine may use it, and nil counts nothing.
type Failures struct{ counts map[string]*atomic.Uint64 }

// NewFailures returns a Failures without any.
func NewFailures() *Failures {
	f := &Failures{counts: map[string]*atomic.Uint64{}}
	for _, reason := range failedReasons {
		f.counts[reason] = new(atomic.Uint64)
	}
	return f
}

// Count counts a request that failed for a reason, which is one of the constants. The empty one is no
// failure.
func (f *Failures) Count(reason string) {
	if f == nil || reason == "" {
		return
	}
	n := f.counts[reason]
	if n == nil {
		n = f.counts[FailedOther]
	}
	n.Add(1)
}

// Describe implements prometheus.Collector.
func (f *Failures) Describe(ch chan<- *prometheus.Desc) { ch <- requestsFailed }

// Collect implements prometheus.Collector. A reason that has not been met is shown, too: rates need the
// 0.
func (f *Failures) Collect(ch chan<- prometheus.Metric) {
	for reason, n := range f.counts {
		ch <- prometheus.MustNewConstMetric(requestsFailed, prometheus.CounterValue, float64(n.Load()), reason)
	}
}
