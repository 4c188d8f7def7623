package result

import (
	"fmt"
	"math"
	"time"

	"balsa.example/bench/chart"
	"balsa.example/internal/loadgen"
)

// Figures returns the charts of the results by a name for each.
func (r *Results) Figures() map[string]chart.Figure {
	figures := map[string]chart.Figure{}
	for _, comparison := range distinct(r.Series, func(s *Series) string { return s.Comparison }) {
		figures[comparison+"-throughput"] = r.throughput(comparison)
		figures[comparison+"-latency"] = r.latencies(comparison)
	}
	return figures
}

func title(comparison, what string) string {
	if comparison == "library" {
		return "Consensus libraries in one process: " + what
	}
	return "Three servers, asked over the network: " + what
}

// throughput has a panel for each operation.
func (r *Results) throughput(comparison string) chart.Figure {
	of := r.of(comparison)
	f := chart.Figure{Title: title(comparison, "operations per second"), Columns: 2, Names: systems(of)}
	callers := distinct(of, func(s *Series) int { return s.Callers })
	for _, operation := range distinct(of, func(s *Series) string { return s.Operation }) {
		p := chart.Panel{Title: describe(operation), XLabel: "callers at a time", Format: chart.Number}
		for _, n := range callers {
			p.X = append(p.X, chart.Tick{At: math.Log(float64(n)), Label: loadgen.Thousands(int64(n))})
		}
		for _, system := range f.Names {
			line := chart.Series{}
			for _, n := range callers {
				line = extend(line, r.find(Case{comparison, operation, n}, system), (*Series).perSecond)
			}
			p.Series = append(p.Series, line)
		}
		f.Panels = append(f.Panels, p)
	}
	return f
}

var percentiles = []struct {
	name string
	of   func(loadgen.Latency) time.Duration
}{
	{"p50", func(l loadgen.Latency) time.Duration { return l.P50 }},
	{"p90", func(l loadgen.Latency) time.Duration { return l.P90 }},
	{"p99", func(l loadgen.Latency) time.Duration { return l.P99 }},
	{"p99.9", func(l loadgen.Latency) time.Duration { return l.P999 }},
}

// latencies has a row of panels for each operation, and in it one for each number of
// callers.
func (r *Results) latencies(comparison string) chart.Figure {
	of := r.of(comparison)
	callers := distinct(of, func(s *Series) int { return s.Callers })
	f := chart.Figure{Title: title(comparison, "latency"), Columns: len(callers), Names: systems(of)}
	for _, operation := range distinct(of, func(s *Series) string { return s.Operation }) {
		for _, n := range callers {
			p := chart.Panel{Title: fmt.Sprintf("%s, %s", describe(operation), people(n)), XLabel: "percentile", Format: chart.Seconds}
			for i, percentile := range percentiles {
				p.X = append(p.X, chart.Tick{At: float64(i), Label: percentile.name})
			}
			for _, system := range f.Names {
				line := chart.Series{}
				for _, percentile := range percentiles {
					line = extend(line, r.find(Case{comparison, operation, n}, system),
						func(s *Series) Spread { return s.latency(percentile.of) })
				}
				p.Series = append(p.Series, line)
			}
			f.Panels = append(f.Panels, p)
		}
	}
	return f
}

func systems(of []*Series) []string { return distinct(of, func(s *Series) string { return s.System }) }

func people(callers int) string {
	if callers == 1 {
		return "1 caller"
	}
	return loadgen.Thousands(int64(callers)) + " callers"
}

// extend adds a point to a line, or a gap where s is nil.
func extend(line chart.Series, s *Series, value func(*Series) Spread) chart.Series {
	point := Spread{math.NaN(), math.NaN(), math.NaN()}
	if s != nil {
		point = value(s)
	}
	line.Y, line.Low, line.High = append(line.Y, point.Median), append(line.Low, point.Low), append(line.High, point.High)
	return line
}

// Summary shows for each case how many times the throughput of each other system balsa
// has.
func (r *Results) Summary() chart.Bars {
	f := chart.Bars{
		Title: "Throughput of balsa, as a multiple of that of others",
		Note:  "Median of the ratios of all rounds; the thin lines are the extremes. Dashed: 1×, the same throughput.",
	}
	for _, comparison := range distinct(r.Series, func(s *Series) string { return s.Comparison }) {
		of := r.of(comparison)
		for _, operation := range distinct(of, func(s *Series) string { return s.Operation }) {
			p := chart.BarPanel{Title: comparison + ", " + describe(operation)}
			for _, s := range of {
				baseline := r.find(s.Case, Baseline)
				if s.Operation != operation || s == baseline || baseline == nil {
					continue
				}
				if q := ratio(baseline, s); q.Median > 0 {
					p.Bars = append(p.Bars, chart.Bar{Group: people(s.Callers), Name: s.System, Value: q.Median, Low: q.Low, High: q.High})
				}
			}
			f.Panels = append(f.Panels, p)
		}
	}
	return f
}
