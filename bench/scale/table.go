package scale

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"balsa.example/bench/result"
	"balsa.example/internal/loadgen"
)

// WriteTables writes where it was measured, and a table for each series, in Markdown.
func (r *Report) WriteTables(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Cost as work grows\n\n")
	fmt.Fprintf(&b, "%s\n\n", r.Machine)
	if r.Quick {
		b.WriteString("Measured with -quick: sizes and times are reduced, and the figures mean little.\n\n")
	}
	for _, s := range r.Series {
		s.writeTable(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Series) writeTable(b *strings.Builder) {
	fmt.Fprintf(b, "## %s: %s\n\n%s\nLoad average %.1f before, %.1f after; took %s.\n\n",
		s.Name, s.Title, s.Setup, s.Load[0], s.Load[1], loadgen.Round(s.Elapsed))
	head := []string{s.Axis}
	for _, c := range s.Columns {
		head = append(head, c.Name)
	}
	rows := [][]string{head}
	for _, r := range s.Rows {
		rows = append(rows, s.cells(r))
	}
	words := s.Axis
	if s.placed() {
		words = "" // but numbers
	}
	result.WriteRows(b, rows, words)
	b.WriteByte('\n')
	for _, g := range s.Goals {
		fmt.Fprintf(b, "- Goal: %s: %s\n", g.Says, g.verdict())
	}
	for _, r := range s.Rows {
		for _, kind := range slices.Sorted(maps.Keys(r.Errors)) {
			fmt.Fprintf(b, "- Failed, %s: %s × %s\n", r.Label, loadgen.Thousands(r.Errors[kind]), kind)
		}
	}
	for _, problem := range s.Problems {
		fmt.Fprintf(b, "- Problem: %s\n", problem)
	}
	b.WriteByte('\n')
}

func (g Goal) verdict() string {
	switch {
	case g.Got == "":
		return "not measured"
	case g.Met:
		return "**met** (" + g.Got + ")"
	default:
		return "**not met** (" + g.Got + ")"
	}
}

// cells has the median of each column, with the extremes where there are some.
func (s *Series) cells(r *Row) []string {
	cells := []string{r.Label}
	for _, c := range s.Columns {
		values := r.Values[c.Name]
		if len(values) == 0 {
			cells = append(cells, "-")
			continue
		}
		of := result.SpreadOf(values)
		cell := c.Unit.Text(of.Median)
		if low, high := c.Unit.Text(of.Low), c.Unit.Text(of.High); low != high {
			cell += " (" + low + " – " + high + ")"
		}
		cells = append(cells, cell)
	}
	return cells
}

// Text writes a value for people to read.
func (u Unit) Text(v float64) string {
	switch u {
	case Count:
		if v != math.Trunc(v) {
			return strconv.FormatFloat(v, 'f', 2, 64)
		}
		return loadgen.Thousands(int64(v))
	case PerSecond:
		return loadgen.Thousands(int64(v + 0.5))
	case Seconds:
		return loadgen.Round(time.Duration(v * float64(time.Second)))
	case Bytes:
		return megabytes(v)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64) + "×"
	}
}

func megabytes(v float64) string {
	if v < 10e3 {
		return loadgen.Thousands(int64(v+0.5)) + " B"
	}
	if v < 10e6 {
		return strconv.FormatFloat(v/1e6, 'f', 1, 64) + " MB"
	}
	return loadgen.Thousands(int64(v/1e6+0.5)) + " MB"
}
