package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func panel(series ...Series) Panel {
	return Panel{
		Title: "puts", XLabel: "callers", Format: number, Series: series,
		X: []Tick{{0, "1"}, {2, "100"}, {3, "1000"}},
	}
}

func draw(t *testing.T, f Figure) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.Draw(&b); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(b.Bytes()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return b.String()
		} else if err != nil {
			t.Fatalf("not well-formed: %v in\n%s", err, b.String())
		}
	}
}

func TestFigureShowsAllThatItIsGiven(t *testing.T) {
	svg := draw(t, Figure{
		Title: "a < b & c", Columns: 2, Names: []string{"balsa", "etcd"},
		Panels: []Panel{
			panel(Series{Y: []float64{1000, 20000, 50000}, Low: []float64{900, 19000, 45000}, High: []float64{1100, 21000, 52000}},
				Series{Y: []float64{800, 8000, math.NaN()}}),
			panel(Series{}, Series{}),
		},
	})
	for _, part := range []string{"a &lt; b &amp; c", ">balsa<", ">etcd<", ">puts<", ">callers<", ">100<", ">10000<", "not measured"} {
		if !strings.Contains(svg, part) {
			t.Errorf("no %q in\n%s", part, svg)
		}
	}
	// Of each line: three points and one in the legend, or two and one.
	if discs, squares, spreads := strings.Count(svg, "<circle"), strings.Count(svg, "<rect"), strings.Count(svg, `class="spread`); discs != 4 || squares != 3 || spreads != 3 {
		t.Errorf("%d discs, %d squares, %d spreads in\n%s", discs, squares, spreads, svg)
	}
}

func TestNothingIsDrawnOutside(t *testing.T) {
	s := Series{Y: []float64{1, 1e6, 30}, Low: []float64{0.5, 1e5, 20}, High: []float64{2, 2e6, 40}}
	p := panel(s)
	scale, ok := p.scale(200, 30)
	if !ok {
		t.Fatal("no scale")
	}
	for _, v := range slices.Concat(s.Y, s.Low, s.High, scale.ticks()) {
		if y := scale.at(v); y < 30 || y > 200 {
			t.Errorf("%v is at %v", v, y)
		}
	}
	if at := p.places(10, 40); !slices.Equal(at, []float64{10, 30, 40}) {
		t.Errorf("x is at %v", at)
	}
	if at := (Panel{X: []Tick{{5, "one"}}}).places(10, 40); !slices.Equal(at, []float64{25}) {
		t.Errorf("a single x is at %v", at)
	}
}

func TestEqualRatiosAreEqualDistances(t *testing.T) {
	s := logScale{low: 1, high: 1000, bottom: 300, ceiled: 0}
	for v, want := range map[float64]float64{1: 300, 10: 200, 100: 100, 1000: 0} {
		if got := s.at(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v is at %v, want %v", v, got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, test := range []struct{ low, high, ticks float64 }{{900, 60_000, 6}, {0.8, 1200, 7}, {0.5, 2e6, 7}, {110, 190, 1}} {
		s := logScale{low: test.low, high: test.high}
		if got := s.ticks(); float64(len(got)) != test.ticks || !slices.IsSorted(got) {
			t.Errorf("from %v to %v: %v", test.low, test.high, got)
		}
	}
}

// TestTitleAndLegendHaveRoom: one narrow panel under much text grows with that.
func TestTitleAndLegendHaveRoom(t *testing.T) {
	f := Figure{Title: strings.Repeat("title ", 20), Columns: 1, Names: []string{"a"}, Panels: []Panel{panel(Series{Y: []float64{1, 2, 3}})}}
	width := func() (w int) {
		_, after, _ := strings.Cut(draw(t, f), `viewBox="0 0 `)
		before, _, _ := strings.Cut(after, " ")
		w, _ = strconv.Atoi(before)
		return w
	}
	if w := width(); w < 900 {
		t.Errorf("under a long title the figure is %d wide", w)
	}
	f.Title, f.Names = "short", []string{"a"}
	if w := width(); w != panelWidth {
		t.Errorf("under a short one it is %d wide", w)
	}
}

// TestManyPointsAreNotMarked: their line would not be seen.
func TestManyPointsAreNotMarked(t *testing.T) {
	p := Panel{Format: number}
	line := Series{}
	for i := range mostMarked + 1 {
		p.X, line.Y = append(p.X, Tick{At: float64(i)}), append(line.Y, 1+float64(i))
	}
	p.Series = []Series{line}
	if svg := draw(t, Figure{Panels: []Panel{p}}); strings.Contains(svg, "<circle") || !strings.Contains(svg, `class="line`) {
		t.Errorf("markers in, or no line in\n%s", svg)
	}
}
