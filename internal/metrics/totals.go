package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Totals are what was counted since the process began.
type Totals struct {
	Reads, Writes, Failed uint64
	Syncs                 uint64 // of the log
	SyncTime              time.Duration
	SyncTimes             []UpTo
	LogBytes              uint64 // written to the log
}

// UpTo is how many took so long at most.
type UpTo struct {
	Took  time.Duration
	Count uint64
}

// Totals returns them.
func (r *Recent) Totals() Totals {
	now := totals{countOnly: true}
	r.requests.total(&now)
	r.calls.total(&now)
	t := Totals{Reads: uint64(now.countedReads), Writes: uint64(now.countedWrites), Failed: uint64(now.failed)}
	h := written(r.syncs.durations).GetHistogram()
	t.Syncs, t.SyncTime = h.GetSampleCount(), time.Duration(h.GetSampleSum()*float64(time.Second))
	for _, b := range h.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			took := time.Duration(math.Round(b.GetUpperBound() * float64(time.Second)))
			t.SyncTimes = append(t.SyncTimes, UpTo{took, b.GetCumulativeCount()})
		}
	}
	t.LogBytes = r.syncs.bytes.Load()
	return t
}

// written is what a metric shows; empty for one that cannot be written, of which there is none.
func written(of prometheus.Metric) *dto.Metric {
	m := new(dto.Metric)
	if of.Write(m) != nil {
		m.Reset()
	}
	return m
}
