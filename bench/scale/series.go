// Package scale measures how the cost of balsa's service grows with the work: with
// callers, sizes, keys and servers, while snapshots are taken and followers catch up,
// and when leaders end.
//
//	Run ──► each chosen kind ──► session: clusters + loads ──► Series ──► Report: tables, JSON, charts
package scale

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"balsa.example/bench/result"
)

// Report is what a run measured, as it is stored.
type Report struct {
	Began   time.Time      `json:"began"`
	Machine result.Machine `json:"machine"`
	Quick   bool           `json:"quick"` // sizes and times were reduced
	Series  []*Series      `json:"series"`
}

// Series is one table, and the answer to one question.
type Series struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Setup string `json:"setup"` // what was done, in words
	Axis  string `json:"axis"`  // what the rows differ in

	Columns []Column `json:"columns"`
	Rows    []*Row   `json:"rows"`
	Traces  []Trace  `json:"traces,omitempty"`
	Goals   []Goal   `json:"goals"`
	// Problems are what ended the series early, or should not have happened.
	Problems []string `json:"problems,omitempty"`

	Load    [2]float64    `json:"load_average"` // of the machine, before and after
	Elapsed time.Duration `json:"elapsed_ns"`
}

// Unit is what a value is measured in.
type Unit string

// The units.
const (
	PerSecond Unit = "1/s"
	Seconds   Unit = "s"
	Bytes     Unit = "B"
	Count     Unit = "count"
	Times     Unit = "×"
)

// Column is something that was measured for each row.
type Column struct {
	Name string `json:"name"`
	Unit Unit   `json:"unit"`
	// Panel and Line say where it is drawn; without a Panel it is not.
	Panel string `json:"panel,omitempty"`
	Line  string `json:"line,omitempty"`
}

// Row is what was measured under one condition.
type Row struct {
	Label string `json:"label"`
	// At is the place on the x axis, whose scale is logarithmic; 0: it has none.
	At float64 `json:"at,omitempty"`
	// Values holds all measurements of each column, by its name.
	Values map[string][]float64 `json:"values"`
	// Errors counts operations that failed, by kind.
	Errors map[string]int64 `json:"errors,omitempty"`
}

// Trace is a line over time or rank.
type Trace struct {
	Panel  string    `json:"panel"`
	Line   string    `json:"line"`
	Unit   Unit      `json:"unit"`
	XLabel string    `json:"x_label"`
	Step   float64   `json:"step"` // between two values, in what XLabel says
	Values []float64 `json:"values"`
}

// Goal is a demand on a series.
type Goal struct {
	Says string `json:"says"`
	Got  string `json:"got,omitempty"` // empty: it was not measured
	Met  bool   `json:"met"`
}

// Row returns the row with a label, which is added if there is none.
func (s *Series) Row(label string, at float64) *Row {
	for _, r := range s.Rows {
		if r.Label == label {
			return r
		}
	}
	r := &Row{Label: label, At: at, Values: map[string][]float64{}}
	s.Rows = append(s.Rows, r)
	return r
}

// Add adds a measurement of a column.
func (r *Row) Add(column string, value float64) {
	r.Values[column] = append(r.Values[column], value)
}

// fail counts operations that failed.
func (r *Row) fail(errors map[string]int64) {
	for kind, n := range errors {
		if r.Errors == nil {
			r.Errors = map[string]int64{}
		}
		r.Errors[kind] += n
	}
}

// failed is how many operations of the row failed.
func (r *Row) failed() (n int64) {
	for _, count := range r.Errors {
		n += count
	}
	return n
}

// Median is that of a column in the row with a label; false if it was not measured.
func (s *Series) Median(label, column string) (float64, bool) {
	for _, r := range s.Rows {
		if r.Label == label && len(r.Values[column]) > 0 {
			return result.SpreadOf(r.Values[column]).Median, true
		}
	}
	return 0, false
}

// goal adds a goal with the value that was measured, if one was.
func (s *Series) goal(says string, unit Unit, value float64, met, measured bool) {
	g := Goal{Says: says}
	if measured {
		g.Got, g.Met = unit.Text(value), met
	}
	s.Goals = append(s.Goals, g)
}

// noFailures adds the goal that no operation of the series failed.
func (s *Series) noFailures() {
	var failed int64
	for _, r := range s.Rows {
		failed += r.failed()
	}
	s.goal("no operation fails", Count, float64(failed), failed == 0, len(s.Rows) > 0)
}

// ratio is that of the medians of a column in two rows.
func (s *Series) ratio(column, above, below string) (float64, bool) {
	a, ok := s.Median(above, column)
	b, ok2 := s.Median(below, column)
	return a / b, ok && ok2 && b > 0
}

// Write stores r as JSON, and Read is its inverse.
func (r *Report) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// Read reads what Write wrote.
func Read(from io.Reader) (*Report, error) {
	r := &Report{}
	if err := json.NewDecoder(from).Decode(r); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	return r, nil
}
