package scale

import (
	"math"
	"slices"
	"strconv"

	"balsa.example/bench/chart"
	"balsa.example/bench/result"
)

// Figures returns the charts of the report by a name for each.
func (r *Report) Figures() map[string]chart.Figure {
	figures := map[string]chart.Figure{}
	for _, s := range r.Series {
		if f := s.figure(); len(f.Panels) > 0 {
			figures["scale-"+s.Name] = f
		}
	}
	return figures
}

// figure has a panel for each name of one in the columns, if rows have places on an x
// axis, and in the traces.
func (s *Series) figure() chart.Figure {
	f := chart.Figure{Title: s.Title, Columns: 3, Names: s.lines()}
	for i, c := range s.Columns {
		first := slices.IndexFunc(s.Columns, func(o Column) bool { return o.Panel == c.Panel })
		if c.Panel != "" && s.placed() && first == i {
			f.Panels = append(f.Panels, s.columnPanel(c, f.Names))
		}
	}
	for i, t := range s.Traces {
		if slices.IndexFunc(s.Traces, func(o Trace) bool { return o.Panel == t.Panel }) == i {
			f.Panels = append(f.Panels, s.tracePanel(t, f.Names))
		}
	}
	return f
}

// placed says whether rows have places on an x axis.
func (s *Series) placed() bool {
	return slices.ContainsFunc(s.Rows, func(r *Row) bool { return r.At > 0 })
}

// lines are the names of all lines, each once.
func (s *Series) lines() (names []string) {
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, c := range s.Columns {
		if s.placed() {
			add(c.Line)
		}
	}
	for _, t := range s.Traces {
		add(t.Line)
	}
	return names
}

// longLabel is how long a label on an x axis may be.
const longLabel = 7

// columnPanel has a line for each column with the panel of c.
func (s *Series) columnPanel(c Column, names []string) chart.Panel {
	p := chart.Panel{Title: c.Panel, XLabel: s.Axis, Format: c.Unit.short, Series: make([]chart.Series, len(names))}
	for _, r := range s.Rows {
		tick := chart.Tick{At: math.Log(r.At), Label: r.Label}
		if len(tick.Label) > longLabel {
			tick.Label = chart.Number(r.At)
		}
		p.X = append(p.X, tick)
	}
	for _, column := range s.Columns {
		if column.Panel != c.Panel {
			continue
		}
		line := &p.Series[slices.Index(names, column.Line)]
		for _, r := range s.Rows {
			of := result.SpreadOf(r.Values[column.Name])
			line.Y, line.Low, line.High = append(line.Y, of.Median), append(line.Low, of.Low), append(line.High, of.High)
		}
	}
	return p
}

// traceTicks is how many labels a trace's x axis has.
const traceTicks = 5

// tracePanel has a line for each trace with the panel of t.
func (s *Series) tracePanel(t Trace, names []string) chart.Panel {
	p := chart.Panel{Title: t.Panel, XLabel: t.XLabel, Format: t.Unit.short, Series: make([]chart.Series, len(names))}
	longest := 0
	for _, trace := range s.Traces {
		if trace.Panel == t.Panel {
			longest = max(longest, len(trace.Values))
		}
	}
	for i := range longest {
		tick := chart.Tick{At: float64(i)}
		if every := max(1, longest/traceTicks); i%every == 0 {
			tick.Label = strconv.FormatFloat(float64(i)*t.Step, 'g', 3, 64)
		}
		p.X = append(p.X, tick)
	}
	for _, trace := range s.Traces {
		if trace.Panel == t.Panel {
			p.Series[slices.Index(names, trace.Line)].Y = trace.Values
		}
	}
	return p
}

// short writes a value for an axis.
func (u Unit) short(v float64) string {
	switch u {
	case Seconds:
		return chart.Seconds(v)
	case Bytes:
		return chart.Number(v) + "B"
	default:
		return chart.Number(v)
	}
}
