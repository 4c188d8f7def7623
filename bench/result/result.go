// Package result holds the samples of a comparison of systems, and makes tables and
// charts of them.
package result

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"balsa.example/internal/loadgen"
)

// Baseline is the system that the others are compared with.
const Baseline = "balsa"

// Results is a whole comparison, as it is stored.
type Results struct {
	Began   time.Time `json:"began"`
	Machine Machine   `json:"machine"`
	Series  []*Series `json:"series"`
}

// Machine is the machine of a result, on which it depends.
type Machine struct {
	CPU  string `json:"cpu"`
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Go   string `json:"go"`
	// Sync is the median time of appending 512 bytes to a file and syncing it.
	Sync time.Duration `json:"sync_p50_ns"`
	// Load is the machine's one-minute load average before and after.
	Load     [2]float64        `json:"load_average"`
	Versions map[string]string `json:"versions"` // of the systems
}

// Case is what a series measures.
type Case struct {
	Comparison string `json:"comparison"` // library or service
	Operation  string `json:"operation"`  // put, get, ...: see the loads of bench
	Callers    int    `json:"callers"`
}

// Series is one system's samples of one case, one for each round.
type Series struct {
	Case
	System  string   `json:"system"`
	Samples []Sample `json:"samples"`
}

// Sample is one measurement.
type Sample struct {
	Report loadgen.Report `json:"report"`
	// CPU is the processor time that servers and clients used together.
	CPU time.Duration `json:"cpu_ns"`
	// Servers is what the servers used of it; 0: clients and servers are one process, or it was not noted.
	Servers time.Duration `json:"servers_ns,omitempty"`
}

// Add appends a sample to its series.
func (r *Results) Add(c Case, system string, s Sample) {
	series := r.find(c, system)
	if series == nil {
		series = &Series{Case: c, System: system}
		r.Series = append(r.Series, series)
	}
	series.Samples = append(series.Samples, s)
}

func (r *Results) find(c Case, system string) *Series {
	for _, s := range r.Series {
		if s.Case == c && s.System == system {
			return s
		}
	}
	return nil
}

// Write stores r as JSON, and Read is its inverse.
func (r *Results) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// Read reads what Write wrote.
func Read(from io.Reader) (*Results, error) {
	r := &Results{}
	if err := json.NewDecoder(from).Decode(r); err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	return r, nil
}

// distinct lists the values of some series, each once, in their order of appearance.
func distinct[T comparable](all []*Series, value func(*Series) T) (values []T) {
	for _, s := range all {
		if v := value(s); !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values
}

// of returns the series of one comparison.
func (r *Results) of(comparison string) (all []*Series) {
	for _, s := range r.Series {
		if s.Comparison == comparison {
			all = append(all, s)
		}
	}
	return all
}

// Spread is a median and the extremes around it.
type Spread struct{ Median, Low, High float64 }

// SpreadOf returns the spread of values; zero if there are none.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	values = slices.Sorted(slices.Values(values))
	middle := len(values) / 2
	median := values[middle]
	if len(values)%2 == 0 {
		median = (values[middle-1] + values[middle]) / 2
	}
	return Spread{median, values[0], values[len(values)-1]}
}

// over returns the spread of f of each sample that has operations.
func (s *Series) over(f func(Sample, *loadgen.Summary) float64) Spread {
	var values []float64
	for _, sample := range s.Samples {
		if summary := sample.Report.Main(); summary != nil {
			values = append(values, f(sample, summary))
		}
	}
	return SpreadOf(values)
}

func (s *Series) perSecond() Spread {
	return s.over(func(_ Sample, l *loadgen.Summary) float64 { return l.PerSecond })
}

func (s *Series) latency(of func(loadgen.Latency) time.Duration) Spread {
	return s.over(func(_ Sample, l *loadgen.Summary) float64 { return of(l.Latency).Seconds() })
}

// cpuPerOp is in seconds; of a load with watchers it is a delivery's.
func (s *Series) cpuPerOp() Spread {
	return s.over(func(sample Sample, l *loadgen.Summary) float64 { return sample.CPU.Seconds() / float64(l.Ops) })
}

// serversPerOp is what the servers use of cpuPerOp.
func (s *Series) serversPerOp() Spread {
	return s.over(func(sample Sample, l *loadgen.Summary) float64 { return sample.Servers.Seconds() / float64(l.Ops) })
}

// failed counts operations that did not succeed.
func (s *Series) failed() (n int64) {
	for _, sample := range s.Samples {
		n += sample.Report.Failed()
	}
	return n
}

// ratio returns the throughput of the baseline divided by that of s, of each round: a disturbance
// of a round affects both.
func ratio(baseline, s *Series) Spread {
	var values []float64
	for i := range min(len(baseline.Samples), len(s.Samples)) {
		bs, os := baseline.Samples[i].Report.Main(), s.Samples[i].Report.Main()
		if bs != nil && os != nil && os.PerSecond > 0 {
			values = append(values, bs.PerSecond/os.PerSecond)
		}
	}
	return SpreadOf(values)
}
