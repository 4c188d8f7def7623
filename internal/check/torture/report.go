package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// report is the result of a run, in report.json and, as text, in report.txt.
type report struct {
	Verdict string
	Command string // repeats the run
	Seed    uint64
	Nodes   int
	Faults  map[string]int // by kind
	totals
	// Recovery is how long writes were not possible after a fault, by kind: from the fault to
	// the acknowledgement of a write that was sent after it. After a fault of a majority it
	// counts from the restart of the servers, after faults of the network from their end.
	Recovery map[string]spread
	// Stalled is the longest time without an acknowledged write during a fault, in
	// milliseconds, by kind.
	Stalled map[string]float64
	// Reconnected is how long after an outage all servers were connected with each other.
	Reconnected spread
	// CorruptFrames is how many corrupt frames the servers have logged.
	CorruptFrames int
	// Changes is how many changes of the members were made, and Refused how often the cluster
	// refused one. CaughtUp is how long after its start a new server was a member that has all.
	Changes, Refused int
	CaughtUp         spread
	// Checked is how many data directories were checked by balsa check, most of them after a crash.
	Checked int
	Took    string

	mu       sync.Mutex // guards Faults and recovery while the faults go on
	recovery map[string][]time.Duration
	last     time.Duration // the latest recovery

	reconnected []time.Duration
	caughtUp    []time.Duration
}

// spread describes times, in milliseconds.
type spread struct {
	Count                 int
	Min, Median, P99, Max float64
}

func newReport(o options) *report {
	return &report{
		Command:  o.command(),
		Seed:     o.seed,
		Nodes:    o.nodes,
		Faults:   make(map[string]int),
		Recovery: make(map[string]spread),
		Stalled:  make(map[string]float64),
		recovery: make(map[string][]time.Duration),
	}
}

func (r *report) count(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Faults[kind]++
}

func (r *report) faults() (n int) {
	for _, k := range r.Faults {
		n += k
	}
	return n
}

func (r *report) recovered(kind string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recovery[kind] = append(r.recovery[kind], took)
	r.last = took
}

func (r *report) stalled(kind string, d time.Duration) {
	r.Stalled[kind] = max(r.Stalled[kind], millis(d))
}

// changed notes a change of the members, which took so long, and for how long no write was
// acknowledged meanwhile.
func (r *report) changed(s *step, took, pause time.Duration) {
	r.Changes++
	r.Refused += s.refused
	if s.joins {
		r.caughtUp = append(r.caughtUp, took)
	}
	r.stalled(s.kind, pause)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func newSpread(all []time.Duration) spread {
	if len(all) == 0 {
		return spread{}
	}
	s := slices.Sorted(slices.Values(all))
	at := func(percent int) float64 { return millis(s[max(0, (len(s)*percent+99)/100-1)]) }
	return spread{len(s), at(0), at(50), at(99), at(100)}
}

func (s spread) String() string {
	return fmt.Sprintf("%.0f to %.0f ms, median %.0f, p99 %.0f", s.Min, s.Max, s.Median, s.P99)
}

// close computes the figures.
func (r *report) close(verdict error, sums totals, took time.Duration) {
	r.Verdict = "ok"
	if verdict != nil {
		r.Verdict = oneLine(verdict)
	}
	r.totals = sums
	for kind, all := range r.recovery {
		r.Recovery[kind] = newSpread(all)
	}
	r.Reconnected = newSpread(r.reconnected)
	r.CaughtUp = newSpread(r.caughtUp)
	r.Took = took.Round(time.Millisecond).String()
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func (r *report) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "report.json"), append(data, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "report.txt"), []byte(r.text()), 0o644))
}

func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n\n", r.Verdict, r.Command)
	fmt.Fprintf(&b, "%d servers, %s; %d operations in %d epochs, %d writes acknowledged, %d of unknown outcome, %d failed\n\n",
		r.Nodes, r.Took, r.Operations, r.Epochs, r.Writes, r.Maybes, r.Failed)
	fmt.Fprintf(&b, "%-28s %5s %8s %8s %8s %8s %8s\n", "milliseconds without writes", "count", "min", "median", "p99", "max", "stalled")
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		s := r.Recovery[kind]
		fmt.Fprintf(&b, "%-28s %5d %8.0f %8.0f %8.0f %8.0f", kind, r.Faults[kind], s.Min, s.Median, s.P99, s.Max)
		if stalled, ok := r.Stalled[kind]; ok {
			fmt.Fprintf(&b, " %8.0f", stalled)
		}
		fmt.Fprintln(&b)
	}
	if r.Reconnected.Count > 0 {
		fmt.Fprintf(&b, "\nall servers connected again after an outage: %s\n", r.Reconnected)
	}
	if r.Changes > 0 {
		fmt.Fprintf(&b, "\n%s\n", r.changes())
	}
	fmt.Fprintf(&b, "\n%d data directories were checked, and in order\n", r.Checked)
	return b.String()
}

// changes is the changes of the members in one line.
func (r *report) changes() string {
	longest := 0.0
	for kind, d := range r.Stalled {
		if strings.HasPrefix(kind, kindChange) {
			longest = max(longest, d)
		}
	}
	return fmt.Sprintf("%d changes of the members, %d refusals; the longest pause of writes was %.0f ms; new servers had caught up after %s",
		r.Changes, r.Refused, longest, r.CaughtUp)
}

// progress returns the faults so far, and the recovery after the last one.
func (r *report) progress() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("last recovery %v; %s", r.last.Round(time.Millisecond), r.tally())
}

// tally returns the number of faults so far, by kind.
func (r *report) tally() string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.Faults[kind], kind))
	}
	if len(parts) == 0 {
		return "no fault"
	}
	return strings.Join(parts, ", ")
}

// line is the last line of a run without a violation.
func (r *report) line() string {
	after := ""
	if s, ok := r.Recovery[kindKill]; ok {
		after = "; writes back after a kill in " + s.String()
	}
	if r.Reconnected.Count > 0 {
		after += "; all servers connected again after an outage in " + r.Reconnected.String()
	}
	if r.Changes > 0 {
		after += "; " + r.changes()
	}
	if r.Leases > 0 {
		after += fmt.Sprintf("; %d events and %d leases by the API of etcd", r.Events, r.Leases)
	}
	return fmt.Sprintf("ok: %d operations, %d writes, %d of unknown outcome; %s%s; %d directories in order; nothing lost, nothing twice (%s)",
		r.Operations, r.Writes, r.Maybes, r.tally(), after, r.Checked, r.Took)
}
