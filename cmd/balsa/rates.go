package main

import (
	"time"

	"balsa.example/api"
	"balsa.example/internal/doctor"
)

// workJSON is what a server has done since it began.
type workJSON struct {
	Reads           uint64 `json:"reads"`
	Writes          uint64 `json:"writes"`
	Failed          uint64 `json:"failed"`
	Syncs           uint64 `json:"syncs"`
	SyncMicros      uint64 `json:"sync_us"` // all together
	LogBytes        uint64 `json:"log_bytes"`
	ProcessorMicros uint64 `json:"processor_us,omitempty"`

	syncTimes []*api.CountUpTo
}

func workOf(w *api.Work) *workJSON {
	if w == nil {
		return nil // a server of an older version
	}
	return &workJSON{w.Reads, w.Writes, w.Failed, w.Syncs, w.SyncUs, w.LogBytes, w.ProcessorUs, w.SyncTimes}
}

// rates are what a server has done per second, between two looks.
type rates struct {
	Seconds float64 `json:"seconds"` // between the looks, by the server's own clock
	Reads   float64 `json:"reads_per_second"`
	Writes  float64 `json:"writes_per_second"`
	Failed  float64 `json:"failed_per_second"`
	Syncs   float64 `json:"syncs_per_second"`
	// SyncMean and SyncLate are how long a sync took, and 99 of 100 at most; 0 if there was none.
	SyncMean  float64 `json:"sync_mean_us"`
	SyncLate  float64 `json:"sync_p99_us"`
	LogBytes  float64 `json:"log_bytes_per_second"`
	Processor float64 `json:"processors"` // how many were busy with it
}

// ratesBetween is nil if a server was not seen twice in one run of its process.
func ratesBetween(before, after *nodeStatus) *rates {
	if before == nil || before.Work == nil || after.Work == nil || before.ID != after.ID || after.UptimeMillis <= before.UptimeMillis {
		return nil
	}
	seconds := float64(after.UptimeMillis-before.UptimeMillis) / 1000
	a, b := before.Work, after.Work
	per := func(was, is uint64) float64 { return float64(is-min(was, is)) / seconds }
	r := &rates{
		Seconds: seconds, Reads: per(a.Reads, b.Reads), Writes: per(a.Writes, b.Writes), Failed: per(a.Failed, b.Failed),
		Syncs: per(a.Syncs, b.Syncs), LogBytes: per(a.LogBytes, b.LogBytes), Processor: per(a.ProcessorMicros, b.ProcessorMicros) / 1e6,
	}
	if n := b.Syncs - min(a.Syncs, b.Syncs); n > 0 {
		r.SyncMean = float64(b.SyncMicros-min(a.SyncMicros, b.SyncMicros)) / float64(n)
		r.SyncLate = float64(doctor.LateOfSyncs(a.syncTimes, b.syncTimes, n).Microseconds())
	}
	return r
}

// lags are how many committed entries each member has yet to execute, by name; without a leader it is nil.
func lags(nodes []nodeStatus) map[string]uint64 {
	leader := leaderOf(nodes)
	if leader == nil {
		return nil
	}
	all := make(map[string]uint64)
	for _, n := range nodes {
		if n.Error == "" && n.Waiting == "" {
			all[n.Name] = leader.Commit - min(n.Applied, leader.Commit)
		}
	}
	return all
}

// micros writes a time for a narrow column: "-" for none.
func micros(us float64) string {
	d := time.Duration(us * float64(time.Microsecond))
	switch {
	case d == 0:
		return "-"
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}
