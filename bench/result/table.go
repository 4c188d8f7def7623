package result

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"balsa.example/internal/loadgen"
)

var columns = []string{"callers", "system", "ops/s", "lowest – highest", "p50", "p99", "p99.9", "CPU/op", "servers", "balsa is"}

// WriteTable writes the machine, and one table for each comparison and operation, in Markdown that
// is also readable as text.
func (r *Results) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.Machine)
	for _, comparison := range distinct(r.Series, func(s *Series) string { return s.Comparison }) {
		of := r.of(comparison)
		for _, operation := range distinct(of, func(s *Series) string { return s.Operation }) {
			fmt.Fprintf(&b, "%s, %s\n\n", comparison, describe(operation))
			WriteRows(&b, r.rows(of, operation), "system")
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String describes the machine in one sentence, and the versions of the systems in another.
func (m Machine) String() string {
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(m.Versions)) {
		versions = append(versions, name+" "+m.Versions[name])
	}
	text := fmt.Sprintf("%d × %s, %s, %s; to append 512 bytes to a file and sync it takes %s; load average %.1f before, %.1f after.",
		m.CPUs, m.CPU, m.OS, m.Go, loadgen.Round(m.Sync), m.Load[0], m.Load[1])
	if len(versions) > 0 {
		text += "\nCompared with: " + strings.Join(versions, ", ") + "."
	}
	return text
}

func describe(operation string) string {
	name, size, sized := strings.Cut(operation, "-")
	switch {
	case name == "get":
		return "linearizable gets"
	case sized && name == "range":
		return "linearizable ranges of " + size + " keys"
	case sized && name == "watch":
		return "deliveries to " + size + " watchers"
	case name == "lease":
		return "keep-alives of " + size + " leases"
	}
	return operation + "s"
}

func (r *Results) rows(of []*Series, operation string) [][]string {
	rows := [][]string{columns}
	for _, callers := range distinct(of, func(s *Series) int { return s.Callers }) {
		for _, s := range of {
			if s.Operation == operation && s.Callers == callers {
				rows = append(rows, r.row(s))
			}
		}
	}
	return rows
}

func (r *Results) row(s *Series) []string {
	count := func(x float64) string { return loadgen.Thousands(int64(x + 0.5)) }
	duration := func(seconds float64) string { return loadgen.Round(time.Duration(seconds * float64(time.Second))) }
	at := func(of func(loadgen.Latency) time.Duration) string { return duration(s.latency(of).Median) }
	perSecond := s.perSecond()
	if perSecond.Median == 0 {
		return []string{fmt.Sprint(s.Callers), s.name(), "-", "-", "-", "-", "-", "-", "-", "-"}
	}
	row := []string{
		fmt.Sprint(s.Callers), s.name(), count(perSecond.Median), count(perSecond.Low) + " – " + count(perSecond.High),
		at(func(l loadgen.Latency) time.Duration { return l.P50 }),
		at(func(l loadgen.Latency) time.Duration { return l.P99 }),
		at(func(l loadgen.Latency) time.Duration { return l.P999 }),
		duration(s.cpuPerOp().Median), "", "",
	}
	if used := s.serversPerOp().Median; used > 0 {
		row[len(row)-2] = duration(used)
	}
	if baseline := r.find(s.Case, Baseline); baseline != nil && s != baseline {
		if q := ratio(baseline, s); q.Median > 0 {
			row[len(row)-1] = fmt.Sprintf("%.2f× (%.2f – %.2f)", q.Median, q.Low, q.High)
		}
	}
	return row
}

// name is the system's, with the number of operations that failed if any did.
func (s *Series) name() string {
	if n := s.failed(); n > 0 {
		return fmt.Sprintf("%s (%s failed)", s.System, loadgen.Thousands(n))
	}
	return s.System
}

// WriteRows writes a table in Markdown, whose first row is the names of the columns.
// It aligns all columns to the right, except those whose names are in words.
func WriteRows(b *strings.Builder, rows [][]string, words ...string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(row []string) {
		for i, cell := range row {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if slices.Contains(words, rows[0][i]) {
				fmt.Fprintf(b, "| %s%s ", cell, padding)
			} else {
				fmt.Fprintf(b, "| %s%s ", padding, cell)
			}
		}
		b.WriteString("|\n")
	}
	line(rows[0])
	for i, width := range widths {
		end := ":"
		if slices.Contains(words, rows[0][i]) {
			end = "-"
		}
		fmt.Fprintf(b, "|%s%s", strings.Repeat("-", width+1), end)
	}
	b.WriteString("|\n")
	for _, row := range rows[1:] {
		line(row)
	}
}
