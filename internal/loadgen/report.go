package loadgen

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is the result of a load.
type Report struct {
	Load Load `json:"load"`
	// Elapsed is the time from the start to the end of the last operation.
	Elapsed     time.Duration `json:"elapsed_ns"`
	Interrupted bool          `json:"interrupted"`
	// The operations that succeeded; nil if there were none.
	Puts       *Summary `json:"puts,omitempty"`
	Gets       *Summary `json:"gets,omitempty"`
	Txns       *Summary `json:"txns,omitempty"`
	Updates    *Summary `json:"updates,omitempty"`
	Ranges     *Summary `json:"ranges,omitempty"`
	KeepAlives *Summary `json:"keep_alives,omitempty"`
	// Grants made the leases, before the load began.
	Grants *Summary `json:"grants,omitempty"`
	// Deliveries are the values that watchers were told. Their latencies count from the time from
	// which those of the puts count.
	Deliveries *Summary `json:"deliveries,omitempty"`
	// Errors counts the others by kind.
	Errors map[string]int64 `json:"errors"`
}

// Summary is the result of one kind of operations, of those that succeeded.
type Summary struct {
	Ops       int64         `json:"ops"`
	Elapsed   time.Duration `json:"elapsed_ns"` // from the first of them to the last
	PerSecond float64       `json:"ops_per_second"`
	Latency   Latency       `json:"latency"`

	histogram *hdrhistogram.Histogram
}

// Latency is a distribution of latencies in a few numbers, each exact to three digits.
type Latency struct {
	Mean time.Duration `json:"mean_ns"`
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}

func summarize(h *hdrhistogram.Histogram, elapsed time.Duration) *Summary {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) }
	s := &Summary{
		Ops: h.TotalCount(), histogram: h,
		Latency: Latency{
			Mean: time.Duration(h.Mean()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: at(100),
		},
	}
	s.took(elapsed)
	return s
}

// took sets the time that all operations together took.
func (s *Summary) took(elapsed time.Duration) {
	if s != nil && elapsed > 0 {
		s.Elapsed, s.PerSecond = elapsed, float64(s.Ops)/elapsed.Seconds()
	}
}

// part is what a report has of one kind.
type part struct {
	name    string
	summary **Summary
}

func (r *Report) parts() []part {
	return []part{
		put: {"puts", &r.Puts}, get: {"gets", &r.Gets}, txn: {"txns", &r.Txns}, update: {"updates", &r.Updates},
		ranges: {"ranges", &r.Ranges}, keepAlive: {"keep-alives", &r.KeepAlives},
		grant: {"grants", &r.Grants}, deliver: {"deliveries", &r.Deliveries},
	}
}

// Ops is the number of operations of callers that succeeded.
func (r *Report) Ops() (n int64) {
	for _, part := range r.parts()[:callerKinds] {
		if s := *part.summary; s != nil {
			n += s.Ops
		}
	}
	return n
}

// Main is the summary that the load is about: of the deliveries if there were watchers, else of
// the first operation that callers did. It is nil if nothing succeeded.
func (r *Report) Main() *Summary {
	if r.Load.Watchers > 0 {
		return r.Deliveries
	}
	for _, part := range r.parts()[:callerKinds] {
		if *part.summary != nil {
			return *part.summary
		}
	}
	return nil
}

// Failed is the number of operations that did not succeed.
func (r *Report) Failed() (n int64) {
	for _, count := range r.Errors {
		n += count
	}
	return n
}

// WriteText writes the report as text.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, part := range r.parts() {
		if s := *part.summary; s != nil {
			s.writeText(&b, part.name)
		}
	}
	if r.Ops() == 0 {
		fmt.Fprintf(&b, "no operation succeeded in %s\n", Round(r.Elapsed))
	}
	if len(r.Errors) > 0 {
		fmt.Fprintf(&b, "errors")
		for _, name := range slices.Sorted(maps.Keys(r.Errors)) {
			fmt.Fprintf(&b, "  %s %s", name, Thousands(r.Errors[name]))
		}
		b.WriteByte('\n')
	}
	if r.Interrupted {
		b.WriteString("interrupted before its end\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Summary) writeText(b *strings.Builder, name string) {
	fmt.Fprintf(b, "%s  %s in %s, %s/s\n", name, Thousands(s.Ops), Round(s.Elapsed), Thousands(int64(s.PerSecond+0.5)))
	l := s.Latency
	fmt.Fprintf(b, "  p50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n\n",
		Round(l.P50), Round(l.P90), Round(l.P99), Round(l.P999), Round(l.Max))
	writeBars(b, s.histogram)
}

const barWidth = 40

// writeBars draws the histogram in steps of 1, 2, 5, 10, ..., from the first that is
// not empty to the last.
func writeBars(b *strings.Builder, h *hdrhistogram.Histogram) {
	counts, limits := steps(h)
	var most, below int64
	for _, n := range counts {
		most = max(most, n)
	}
	for i, n := range counts {
		below += n
		fmt.Fprintf(b, "  %8s  %-*s %6.2f%%\n", "≤ "+limits[i].String(), barWidth, bar(n, most), 100*float64(below)/float64(h.TotalCount()))
	}
	b.WriteByte('\n')
}

// bar draws n to an eighth of a character; most is barWidth long. Any n above 0 is visible.
func bar(n, most int64) string {
	eighths := int((n*barWidth*8 + most - 1) / most)
	b := strings.Repeat("█", eighths/8)
	if eighths%8 > 0 {
		b += string([]rune("▏▎▍▌▋▊▉")[eighths%8-1])
	}
	return b
}

// steps counts the histogram's values between each limit and the one before.
func steps(h *hdrhistogram.Histogram) (counts []int64, limits []time.Duration) {
	limit, factor := lowestLatency, 0
	var n int64
	flush := func() {
		if n > 0 || len(counts) > 0 {
			counts, limits = append(counts, n), append(limits, limit)
		}
		n = 0
	}
	for _, bar := range h.Distribution() {
		if bar.Count == 0 {
			continue
		}
		for time.Duration(bar.From) > limit {
			flush()
			limit = limit * []time.Duration{2, 5, 2}[factor] / []time.Duration{1, 2, 1}[factor]
			factor = (factor + 1) % 3
		}
		n += bar.Count
	}
	flush()
	return counts, limits
}

// Round writes a duration with three digits and a unit: 12.3 ms.
func Round(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d >= unit.size-unit.size/2000 {
			return threeDigits(float64(d)/float64(unit.size)) + " " + unit.name
		}
	}
	return threeDigits(float64(d)/float64(time.Microsecond)) + " µs"
}

func threeDigits(x float64) string {
	decimals := 0
	switch {
	case x < 9.995:
		decimals = 2
	case x < 99.95:
		decimals = 1
	}
	return strconv.FormatFloat(x, 'f', decimals, 64)
}

// Thousands writes a number with commas: 12,345.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
