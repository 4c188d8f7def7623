// Package chart draws line charts with logarithmic heights as SVG, for pages that may
// be light or dark.
package chart

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// Figure is some panels under one legend.
type Figure struct {
	Title   string
	Columns int // of panels
	Panels  []Panel
	Names   []string // of the series, the same in all panels
}

// Panel is one chart.
type Panel struct {
	Title, XLabel string
	X             []Tick
	Series        []Series // as Figure.Names; those without points are left out
	Format        func(float64) string
}

// Tick is a place on the x axis, in any unit.
type Tick struct {
	At    float64
	Label string
}

// Series is one line. Y has a value above 0 for each x, or NaN where there is none. Low
// and High, which may be nil, are drawn as the spread around it.
type Series struct{ Y, Low, High []float64 }

// The measures of a figure, in pixels.
const (
	panelWidth, panelHeight  = 280, 230
	left, right, top, bottom = 64, 14, 34, 46
	header                   = 64
)

// style uses colours that colour-blind people can tell apart, and markers beside.
const style = `
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #3d444d }
.page { fill: #ffffff }
.title { font-size: 15px; font-weight: 600; fill: #1f2328 }
.panel { font-weight: 600 }
.tick { font-size: 11px; fill: #59636e }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.axis { stroke: #818b98; stroke-width: 1 }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round }
.spread { stroke-width: 1.2; opacity: .55 }
.c0 { stroke: #0072b2; fill: #0072b2 } .c1 { stroke: #d55e00; fill: #d55e00 }
.c2 { stroke: #009e73; fill: #009e73 } .c3 { stroke: #aa4499; fill: #aa4499 }
.c4 { stroke: #999933; fill: #999933 } .line { fill: none }
.bar { stroke: none } .equal { stroke: #59636e; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117 }
  text { fill: #d1d7e0 } .title { fill: #f0f6fc } .tick { fill: #9198a1 }
  .grid { stroke: #3d444d } .axis { stroke: #656c76 }
  .c0 { stroke: #56b4e9; fill: #56b4e9 } .line { fill: none }
  .bar { stroke: none } .equal { stroke: #9198a1 }
}
`

const colours = 5

// mostMarked is how many points a line may have for each to be marked.
const mostMarked = 20

// Draw writes the figure as an SVG document.
func (f Figure) Draw(w io.Writer) error {
	columns := max(1, min(f.Columns, len(f.Panels)))
	rows := (len(f.Panels) + columns - 1) / columns
	each := max(panelWidth, (f.headWidth()+columns-1)/columns) // panels are as wide as title and legend need
	width, height := columns*each, header+rows*panelHeight
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`,
		width, height, width, height, html.EscapeString(f.Title))
	fmt.Fprintf(&b, "\n<style>%s</style>\n", style)
	page(&b, width, height)
	text(&b, "title", "start", 12, 22, f.Title)
	f.legend(&b)
	for i, p := range f.Panels {
		fmt.Fprintf(&b, "<g transform=\"translate(%d %d)\">\n", i%columns*each, header+i/columns*panelHeight)
		p.draw(&b, float64(each))
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (f Figure) legend(b *strings.Builder) {
	x := 12.0
	for i, name := range f.Names {
		fmt.Fprintf(b, "<path class=\"line c%d\" d=\"M%.1f 44h22\"/>\n", i%colours, x)
		marker(b, i, x+11, 44)
		text(b, "", "start", x+28, 48, name)
		x += legendWidth(name)
	}
}

// legendWidth is what a name takes in the legend, with what stands around it.
func legendWidth(name string) float64 { return 28 + 7.2*float64(len(name)) + 22 }

// headWidth is what title and legend take.
func (f Figure) headWidth() int {
	legend := 12.0
	for _, name := range f.Names {
		legend += legendWidth(name)
	}
	return int(max(legend, 24+9.2*float64(len(f.Title))))
}

// page is the background: a picture does not know that of the text around it.
func page(b *strings.Builder, width, height int) {
	fmt.Fprintf(b, "<path class=\"page\" d=\"M0 0H%dV%dH0z\"/>\n", width, height)
}

func text(b *strings.Builder, class, anchor string, x, y float64, s string) {
	fmt.Fprintf(b, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, anchor, x, y, html.EscapeString(s))
}

// marker draws the sign of a series: a disc, a square, a diamond or a triangle.
func marker(b *strings.Builder, series int, x, y float64) {
	switch series % 4 {
	case 0:
		fmt.Fprintf(b, "<circle class=\"c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.4\"/>\n", series%colours, x, y)
	case 1:
		fmt.Fprintf(b, "<rect class=\"c%d\" x=\"%.1f\" y=\"%.1f\" width=\"6\" height=\"6\"/>\n", series%colours, x-3, y-3)
	case 2:
		fmt.Fprintf(b, "<path class=\"c%d\" d=\"M%.1f %.1fl4.2 4.2-4.2 4.2-4.2-4.2z\"/>\n", series%colours, x, y-4.2)
	case 3:
		fmt.Fprintf(b, "<path class=\"c%d\" d=\"M%.1f %.1fl4 7h-8z\"/>\n", series%colours, x, y-4.2)
	}
}

func (p Panel) draw(b *strings.Builder, width float64) {
	const x0, y0, y1 = left, panelHeight - bottom, top
	x1 := width - right
	text(b, "panel", "middle", (x0+x1)/2.0, y1-14, p.Title)
	text(b, "tick", "middle", (x0+x1)/2.0, y0+36, p.XLabel)
	scale, ok := p.scale(y0, y1)
	if !ok {
		text(b, "tick", "middle", (x0+x1)/2.0, (y0+y1)/2.0, "not measured")
		return
	}
	for _, v := range scale.ticks() {
		y := scale.at(v)
		fmt.Fprintf(b, "<path class=\"grid\" d=\"M%d %.1fH%.0f\"/>\n", x0, y, x1)
		text(b, "tick", "end", x0-7, y+4, p.Format(v))
	}
	fmt.Fprintf(b, "<path class=\"axis\" d=\"M%d %dH%.0f\"/>\n", x0, y0, x1)
	at := p.places(x0+16, x1-16)
	for i, t := range p.X {
		text(b, "tick", "middle", at[i], y0+17, t.Label)
	}
	for i := len(p.Series) - 1; i >= 0; i-- { // the first is drawn last, above the others
		p.Series[i].draw(b, i, at, scale)
	}
}

// places maps the ticks of the x axis to pixels.
func (p Panel) places(from, to float64) (at []float64) {
	first, last := p.X[0].At, p.X[len(p.X)-1].At
	for _, t := range p.X {
		if first == last {
			at = append(at, (from+to)/2)
			continue
		}
		at = append(at, from+(to-from)*(t.At-first)/(last-first))
	}
	return at
}

func (s Series) draw(b *strings.Builder, index int, at []float64, scale logScale) {
	var path strings.Builder
	command := "M"
	for i, y := range s.Y {
		if !(y > 0) {
			command = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, at[i], scale.at(y))
		command = "L"
		if s.Low != nil && s.High != nil && s.Low[i] > 0 {
			fmt.Fprintf(b, "<path class=\"spread c%d\" d=\"M%.1f %.1fV%.1f\"/>\n", index%colours, at[i], scale.at(s.Low[i]), scale.at(s.High[i]))
		}
	}
	if path.Len() == 0 {
		return
	}
	fmt.Fprintf(b, "<path class=\"line c%d\" d=\"%s\"/>\n", index%colours, path.String())
	for i, y := range s.Y {
		if y > 0 && len(s.Y) <= mostMarked {
			marker(b, index, at[i], scale.at(y))
		}
	}
}

// logScale maps values to pixels, equal ratios to equal distances.
type logScale struct {
	low, high      float64 // values
	bottom, ceiled float64 // their pixels
}

// scale covers all that is drawn; false if that is nothing.
func (p Panel) scale(bottom, ceiled float64) (logScale, bool) {
	low, high := math.Inf(1), 0.0
	for _, s := range p.Series {
		for _, values := range [][]float64{s.Y, s.Low, s.High} {
			for _, v := range values {
				if v > 0 {
					low, high = min(low, v), max(high, v)
				}
			}
		}
	}
	return logScale{low / 1.25, high * 1.25, bottom, ceiled}, high > 0
}

func (s logScale) at(v float64) float64 {
	return s.bottom - (s.bottom-s.ceiled)*math.Log(v/s.low)/math.Log(s.high/s.low)
}

// ticks are powers of ten, with as many round values in between as there is room for.
func (s logScale) ticks() (all []float64) {
	steps := []float64{1}
	switch decades := math.Log10(s.high / s.low); {
	case decades < 0.8:
		steps = []float64{1, 1.5, 2, 3, 4, 5, 7}
	case decades < 2.2:
		steps = []float64{1, 2, 5}
	case decades < 3.2:
		steps = []float64{1, 3}
	}
	for power := math.Pow(10, math.Floor(math.Log10(s.low))); power <= s.high; power *= 10 {
		for _, step := range steps {
			if v := power * step; v >= s.low && v <= s.high {
				all = append(all, v)
			}
		}
	}
	return all
}
