package chart

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Bars is a figure of ratios: how many times one system does what others do. All panels
// share one linear scale, which begins at 0 and has a line at 1, where both are equal.
type Bars struct {
	Title, Note string
	Panels      []BarPanel // two in a row
}

// BarPanel is some bars under a title.
type BarPanel struct {
	Title string
	Bars  []Bar
}

// Bar is one ratio, with the extremes around it. Bars that follow each other with the
// same Group stand together.
type Bar struct {
	Group, Name      string
	Value, Low, High float64
}

// The measures of a figure of bars, in pixels.
const (
	barPanel   = 430 // the width of a panel
	barNames   = 174 // where names end
	barStart   = 182
	barEnd     = 375 // of the longest
	barHeight  = 15
	barRow     = 21
	barHead    = 46 // of the figure
	panelHead  = 34
	groupSpace = 7
)

// Draw writes the figure as an SVG document.
func (f Bars) Draw(w io.Writer) error {
	height, most := barHead, 1.0
	for i, p := range f.Panels {
		if i%2 == 0 {
			height += f.rowHeight(i)
		}
		for _, bar := range p.Bars {
			most = max(most, bar.High)
		}
	}
	height += 32
	width := 2*barPanel + 20
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`,
		width, height, width, height, html.EscapeString(f.Title))
	fmt.Fprintf(&b, "\n<style>%s</style>\n", style)
	page(&b, width, height)
	text(&b, "title", "start", 16, 28, f.Title)
	y := barHead
	for i, p := range f.Panels {
		fmt.Fprintf(&b, "<g transform=\"translate(%d %d)\">\n", 10+i%2*barPanel, y)
		p.draw(&b, float64(barEnd-barStart)/most)
		b.WriteString("</g>\n")
		if i%2 == 1 {
			y += f.rowHeight(i - 1)
		}
	}
	text(&b, "tick", "start", 16, float64(height)-14, f.Note)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// rowHeight is that of the higher one of two panels that stand side by side.
func (f Bars) rowHeight(first int) int {
	height := 0
	for _, p := range f.Panels[first:min(first+2, len(f.Panels))] {
		height = max(height, p.height())
	}
	return height + 10
}

func (p BarPanel) height() int {
	y := panelHead
	for i, bar := range p.Bars {
		if i > 0 && bar.Group != p.Bars[i-1].Group {
			y += groupSpace
		}
		y += barRow
	}
	return y
}

func (p BarPanel) draw(b *strings.Builder, perUnit float64) {
	text(b, "panel", "start", 6, 18, p.Title)
	y := float64(panelHead)
	for i, bar := range p.Bars {
		if i > 0 && bar.Group != p.Bars[i-1].Group {
			y += groupSpace
		}
		if i == 0 || bar.Group != p.Bars[i-1].Group {
			text(b, "tick", "start", 6, y+12, bar.Group)
		}
		text(b, "", "end", barNames, y+12, bar.Name)
		class := "c0"
		if bar.Value < 1 {
			class = "c1"
		}
		fmt.Fprintf(b, "<rect class=\"bar %s\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>\n", class, barStart, y, bar.Value*perUnit, barHeight)
		fmt.Fprintf(b, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>\n", barStart+bar.Low*perUnit, y+barHeight/2.0, barStart+bar.High*perUnit)
		text(b, "panel", "start", barStart+bar.High*perUnit+7, y+12, fmt.Sprintf("%.2g×", bar.Value))
		y += barRow
	}
	fmt.Fprintf(b, "<path class=\"equal\" d=\"M%.1f %dV%.1f\"/>\n", barStart+perUnit, panelHead-5, y)
}
