package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"balsa.example/internal/loadgen"
	"balsa.example/internal/terminal"
)

// liveColumn is a column of the table of "status --watch".
type liveColumn struct {
	title string
	least int // columns that it takes at least, so that lines that are appended stand below each other
	// rank is how early it is left out where the terminal is too narrow: the highest first. 0: never.
	rank int
	text func(*nodeStatus, *liveRow) (string, terminal.Style)
}

// liveRow is what a row has besides the status.
type liveRow struct {
	role string // with what others say of a member that is shut out
	lag  string
}

var liveColumns = []liveColumn{
	{"NAME", 4, 0, func(n *nodeStatus, _ *liveRow) (string, terminal.Style) { return orDash(n.Name), terminal.Bold }},
	{"ENDPOINT", 15, 12, func(n *nodeStatus, _ *liveRow) (string, terminal.Style) { return n.place(), terminal.Plain }},
	{"ROLE", 11, 0, func(_ *nodeStatus, r *liveRow) (string, terminal.Style) { return r.role, roleStyles[r.role] }},
	{"TERM", 4, 4, cellOf(func(n *nodeStatus) string { return strconv.FormatUint(n.Term, 10) })},
	{"LEADER", 6, 5, cellOf(func(n *nodeStatus) string { return orDash(n.Leader) })},
	{"WRITES/S", 8, 0, rateOf(func(r *rates) float64 { return r.Writes }, terminal.Plain)},
	{"READS/S", 8, 0, rateOf(func(r *rates) float64 { return r.Reads }, terminal.Plain)},
	{"FAILED/S", 8, 3, rateOf(func(r *rates) float64 { return r.Failed }, terminal.Red)},
	{"SYNCS/S", 7, 7, rateOf(func(r *rates) float64 { return r.Syncs }, terminal.Plain)},
	{"SYNC", 7, 1, timeOf(func(r *rates) float64 { return r.SyncMean })},
	{"SYNC P99", 8, 6, timeOf(func(r *rates) float64 { return r.SyncLate })},
	{"LOG/S", 8, 8, bytesRateOf(func(r *rates) float64 { return r.LogBytes })},
	{"LAG", 6, 2, func(_ *nodeStatus, r *liveRow) (string, terminal.Style) { return r.lag, terminal.Plain }},
	{"KEYS", 9, 10, cellOf(func(n *nodeStatus) string { return loadgen.Thousands(int64(n.Keys)) })},
	{"DATA", 8, 9, cellOf(func(n *nodeStatus) string { return bytesText(n.DataBytes) })},
	{"FREE", 8, 11, cellOf(func(n *nodeStatus) string { return knownBytes(n.DiskFree) })},
	{"MEMORY", 8, 13, cellOf(func(n *nodeStatus) string { return knownBytes(n.Memory) })},
	{"CPU", 5, 14, func(n *nodeStatus, _ *liveRow) (string, terminal.Style) {
		if n.Rates == nil || n.Work.ProcessorMicros == 0 {
			return "-", terminal.Faint
		}
		return fmt.Sprintf("%.0f%%", 100*n.Rates.Processor), terminal.Plain
	}},
	{"VERSION", 8, 15, cellOf(func(n *nodeStatus) string { return orDash(n.Version) })},
}

var roleStyles = map[string]terminal.Style{
	"leader": terminal.Green, "unreachable": terminal.Red, "denied": terminal.Red, "lost": terminal.Red, "diverged": terminal.Red,
	"waiting": terminal.Yellow, "candidate": terminal.Yellow,
}

// cellOf is the text of those members that have answered.
func cellOf(text func(*nodeStatus) string) func(*nodeStatus, *liveRow) (string, terminal.Style) {
	return func(n *nodeStatus, _ *liveRow) (string, terminal.Style) {
		if n.Error != "" {
			return "-", terminal.Faint
		}
		return text(n), terminal.Plain
	}
}

// rateOf is the text of a rate. A rate that is not 0 has a style.
func rateOf(of func(*rates) float64, style terminal.Style) func(*nodeStatus, *liveRow) (string, terminal.Style) {
	return func(n *nodeStatus, _ *liveRow) (string, terminal.Style) {
		switch {
		case n.Rates == nil:
			return "-", terminal.Faint
		case of(n.Rates) == 0:
			return "0", terminal.Plain
		case of(n.Rates) < 10:
			return strconv.FormatFloat(of(n.Rates), 'f', 1, 64), style
		}
		return loadgen.Thousands(int64(of(n.Rates) + 0.5)), style
	}
}

func timeOf(of func(*rates) float64) func(*nodeStatus, *liveRow) (string, terminal.Style) {
	return func(n *nodeStatus, _ *liveRow) (string, terminal.Style) {
		if n.Rates == nil {
			return "-", terminal.Faint
		}
		return micros(of(n.Rates)), terminal.Plain
	}
}

func bytesRateOf(of func(*rates) float64) func(*nodeStatus, *liveRow) (string, terminal.Style) {
	return func(n *nodeStatus, _ *liveRow) (string, terminal.Style) {
		if n.Rates == nil {
			return "-", terminal.Faint
		}
		return bytesText(uint64(of(n.Rates))), terminal.Plain
	}
}

// bytesText is a size with three digits or so: 1.2 GiB.
func bytesText(n uint64) string {
	size, unit := float64(n), "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size < 1000 {
			break
		}
		size, unit = size/1024, larger
	}
	if unit == "B" || size >= 100 {
		return fmt.Sprintf("%.0f %s", size, unit)
	}
	return fmt.Sprintf("%.1f %s", size, unit)
}

func knownBytes(n uint64) string {
	if n == 0 {
		return "-"
	}
	return bytesText(n)
}

// liveTable writes the title and a row for each member, in so many columns; 0: all are shown.
func liveTable(nodes []nodeStatus, width int, paint func(terminal.Style, string) string) (lines []string) {
	behind, outs := lags(nodes), shutOut(nodes)
	shown := liveColumns
	rows := make([]liveRow, len(nodes))
	for i := range nodes {
		rows[i] = rowOf(&nodes[i], behind, outs)
	}
	widths := make(map[string]int)
	for _, c := range shown {
		widths[c.title] = max(len(c.title), c.least)
		for i := range nodes {
			text, _ := c.text(&nodes[i], &rows[i])
			widths[c.title] = max(widths[c.title], utf8.RuneCountInString(terminal.Clean(text)))
		}
	}
	if width > 0 {
		shown = fitting(widths, width)
	}
	var title strings.Builder
	for _, c := range shown {
		fmt.Fprintf(&title, "%-*s  ", widths[c.title], c.title)
	}
	lines = append(lines, strings.TrimRight(title.String(), " "))
	for i := range nodes {
		var row strings.Builder
		for _, c := range shown {
			text, style := c.text(&nodes[i], &rows[i])
			text = terminal.Clean(text)
			row.WriteString(paint(style, text))
			row.WriteString(strings.Repeat(" ", widths[c.title]+2-utf8.RuneCountInString(text)))
		}
		lines = append(lines, strings.TrimRight(row.String(), " "))
	}
	return lines
}

func rowOf(n *nodeStatus, behind map[string]uint64, outs []outMember) liveRow {
	row := liveRow{role: n.role(), lag: "-"}
	for _, out := range outs {
		if out.name == n.Name {
			row.role = out.role
		}
	}
	if lag, ok := behind[n.Name]; ok && n.Error == "" {
		row.lag = loadgen.Thousands(int64(lag))
	}
	return row
}

// fitting are the columns that have room: those of the highest ranks are left out.
func fitting(widths map[string]int, width int) []liveColumn {
	shown := append([]liveColumn(nil), liveColumns...)
	for {
		total, worst := -2, 0
		for i, c := range shown {
			total += widths[c.title] + 2
			if c.rank > shown[worst].rank {
				worst = i
			}
		}
		if total <= width || shown[worst].rank == 0 {
			return shown
		}
		shown = append(shown[:worst], shown[worst+1:]...)
	}
}
