package metrics

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

const (
	// RecentEvery is how often a Recent is to look, and MaxPoints how many Points it keeps: those of ten
	// minutes.
	RecentEvery = 2 * time.Second
	MaxPoints   = 300
)

// Point is the figures of a member over one interval. Rates are per second, and times are in
// microseconds; a time is 0 if nothing was timed.
type Point struct {
	UnixMilli              int64 // its end
	Reads, Writes, Failed  float64
	ReadMedian, ReadLate   float64 // of half, and of 99 in 100
	WriteMedian, WriteLate float64
	Syncs                  float64
	SyncMedian, SyncLate   float64
	Term                   uint64
	Leader                 string // its id; empty if none is known
}

// row is a Point as JSON: what repeats 300 times needs no names.
func (p *Point) row() []any {
	return []any{
		&p.UnixMilli, &p.Reads, &p.Writes, &p.Failed, &p.ReadMedian, &p.ReadLate, &p.WriteMedian, &p.WriteLate,
		&p.Syncs, &p.SyncMedian, &p.SyncLate, &p.Term, &p.Leader,
	}
}

// MarshalJSON implements json.Marshaler: an array of the fields, in their order, without fractions.
func (p Point) MarshalJSON() ([]byte, error) {
	row := p.row()
	for i, field := range row {
		if f, ok := field.(*float64); ok {
			row[i] = int64(math.Round(*f))
		}
	}
	return json.Marshal(row)
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Point) UnmarshalJSON(b []byte) error {
	row := p.row()
	if err := json.Unmarshal(b, &row); err != nil {
		return err
	}
	if len(row) != len(p.row()) {
		return fmt.Errorf("a point of %d figures, want %d", len(row), len(p.row()))
	}
	return nil
}

// Recent keeps the Points of the last minutes. Any goroutine may use it.
type Recent struct {
	requests *Requests
	calls    *Calls
	syncs    *Syncs

	mu     sync.Mutex
	points []Point
	last   totals
}

// NewRecent returns a Recent of what these count.
func NewRecent(requests *Requests, calls *Calls, syncs *Syncs) *Recent {
	return &Recent{requests: requests, calls: calls, syncs: syncs}
}

// Look adds a Point that ends now. The first time it only notes where to begin.
func (r *Recent) Look(now time.Time, term uint64, leader string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := totals{at: now}
	r.requests.total(&next)
	r.calls.total(&next)
	next.syncs.add("syncs", r.syncs.durations)
	if !r.last.at.IsZero() {
		r.points = AddPoints(r.points, []Point{between(&r.last, &next, term, leader)})
	}
	r.last = next
}

// Since returns the Points that end later than that, in Unix milliseconds: see PointsSince.
func (r *Recent) Since(unixMilli int64) []Point {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Point(nil), PointsSince(r.points, unixMilli)...)
}

// PointsSince returns those of points that end later than that. If all end earlier the clock was set back, and who
// asks has none of them.
func PointsSince(points []Point, unixMilli int64) []Point {
	i := len(points)
	if i > 0 && points[i-1].UnixMilli < unixMilli {
		return points
	}
	for i > 0 && points[i-1].UnixMilli > unixMilli {
		i--
	}
	return points[i:]
}

// AddPoints returns points with more behind them, the newest MaxPoints. Of points those are left out that end where
// more begin, or later: the clock was set back. It changes neither.
func AddPoints(points, more []Point) []Point {
	n := len(points)
	for len(more) > 0 && n > 0 && points[n-1].UnixMilli >= more[0].UnixMilli {
		n--
	}
	points = append(points[:n:n], more...)
	return points[max(0, len(points)-MaxPoints):]
}

// totals are counters at one moment.
type totals struct {
	at                          time.Time
	reads, writes, syncs        timing
	failed                      float64
	countedReads, countedWrites float64
	countOnly                   bool // nothing is timed
}

// timing is what was timed, by the name of the metric: those of one have the same buckets.
type timing map[string]histogram

// histogram has the counts up to each bound in seconds.
type histogram map[float64]float64

func (t *timing) add(name string, of prometheus.Metric) {
	h := written(of).GetHistogram()
	if *t == nil {
		*t = timing{}
	}
	sum := (*t)[name]
	if sum == nil {
		sum = histogram{}
		(*t)[name] = sum
	}
	for _, b := range h.GetBucket() {
		sum[b.GetUpperBound()] += float64(b.GetCumulativeCount())
	}
	sum[math.Inf(1)] += float64(h.GetSampleCount())
}

func (t timing) count() (n float64) {
	for _, h := range t {
		n += h[math.Inf(1)]
	}
	return n
}

// since is what was timed after an earlier moment.
func (t timing) since(before timing) timing {
	all := timing{}
	for name, h := range t {
		all[name] = histogram{}
		for bound, n := range h {
			all[name][bound] = n - before[name][bound]
		}
	}
	return all
}

// upTo estimates how many took at most so many seconds: within a bucket times are taken to be even.
func (h histogram) upTo(seconds float64) float64 {
	low, below := 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(h)) {
		if seconds <= bound {
			if math.IsInf(bound, 1) {
				return below
			}
			return below + (h[bound]-below)*(seconds-low)/(bound-low)
		}
		low, below = bound, h[bound]
	}
	return below
}

// What is a read, and what a write, by the names of kinds and of methods of etcd.
var (
	isRead  = map[string]bool{"get": true, "range": true, "Range": true, "RangeStream": true}
	isWrite = map[string]bool{
		"put": true, "delete": true, "txn": true, "delete_range": true, "lease_grant": true, "lease_revoke": true,
		"Put": true, "DeleteRange": true, "Txn": true, "LeaseGrant": true, "LeaseRevoke": true,
	}
	// isFailure are outcomes for which somebody should look: not those that a request has asked for.
	isFailure = map[string]bool{"unknown": true, "unavailable": true, "busy": true, "Unavailable": true, "DeadlineExceeded": true, "ResourceExhausted": true}
)

// total adds what was answered.
func (r *Requests) total(t *totals) {
	for _, k := range r.kinds {
		timed := t.of(k.name)
		seen := false
		for code := range k.counts {
			n := k.counts[code].Load()
			t.counted(k.name, r.codes[code], n)
			seen = seen || n > 0
		}
		if timed != nil && seen {
			timed.add("requests", k.times.metric(requestDuration, k.name))
		}
	}
}

// total adds the calls that have ended.
func (c *Calls) total(t *totals) {
	for _, call := range c.methods {
		timed := t.of(call.method)
		seen := false
		for code := range call.handled {
			if n := call.handled[code].Load(); n > 0 {
				t.counted(call.method, codes.Code(code).String(), n)
				seen = true
			}
		}
		if timed != nil && seen && call.duration != nil {
			timed.add("calls", call.duration)
		}
	}
}

// of is where requests of a name are timed, nil if they are not.
func (t *totals) of(name string) *timing {
	switch {
	case t.countOnly:
		return nil
	case isRead[name]:
		return &t.reads
	case isWrite[name]:
		return &t.writes
	}
	return nil
}

func (t *totals) counted(name, code string, n uint64) {
	switch {
	case isFailure[code]:
		t.failed += float64(n)
	case isRead[name]:
		t.countedReads += float64(n)
	case isWrite[name]:
		t.countedWrites += float64(n)
	}
}

func between(a, b *totals, term uint64, leader string) Point {
	seconds := max(b.at.Sub(a.at).Seconds(), 0.001)
	reads, writes, syncs := b.reads.since(a.reads), b.writes.since(a.writes), b.syncs.since(a.syncs)
	return Point{
		UnixMilli: b.at.UnixMilli(), Term: term, Leader: leader,
		Reads: (b.countedReads - a.countedReads) / seconds, Writes: (b.countedWrites - a.countedWrites) / seconds,
		Failed: (b.failed - a.failed) / seconds, Syncs: syncs.count() / seconds,
		ReadMedian: reads.quantile(0.5), ReadLate: reads.quantile(0.99),
		WriteMedian: writes.quantile(0.5), WriteLate: writes.quantile(0.99),
		SyncMedian: syncs.quantile(0.5), SyncLate: syncs.quantile(0.99),
	}
}

// quantile estimates one in microseconds; 0 if nothing was timed. Beyond all buckets it is the highest
// bound.
func (t timing) quantile(q float64) float64 {
	rank := q * t.count()
	if rank == 0 {
		return 0
	}
	bounds := map[float64]bool{}
	for _, h := range t {
		for bound := range h {
			bounds[bound] = true
		}
	}
	low, below := 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(bounds)) {
		if math.IsInf(bound, 1) {
			break
		}
		upTo := 0.0
		for _, h := range t {
			upTo += h.upTo(bound)
		}
		if upTo >= rank && upTo > below {
			return 1e6 * (low + (bound-low)*(rank-below)/(upTo-below))
		}
		low, below = bound, upTo
	}
	return 1e6 * low
}
