package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"balsa.example/bench/result"
	"balsa.example/internal/loadgen"
)

// plan is what to measure, and how long.
type plan struct {
	comparisons, systems []string
	operations           []string
	callers              []int
	rounds               int
	warmup, duration     time.Duration
	keys                 int
	valueSize            int
}

const (
	keySize = 16
	// deliveriesPerSecond is how many values all watchers of a load are told together. Every
	// system can do that, so that their latencies and processor time can be compared.
	deliveriesPerSecond = 20_000
)

// libraryOperations are those that consensus libraries have.
var libraryOperations = []string{"put", "get"}

// operate completes a load that does an operation: put, get, txn or update; or range-N of N keys
// each, watch-N of puts to N watchers, lease-N that keeps N leases alive.
func operate(l *loadgen.Load, operation string) error {
	name, text, sized := strings.Cut(operation, "-")
	n := 0
	if sized {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			return fmt.Errorf("-operations: %q does not end with a number above 0", operation)
		}
	}
	switch {
	case operation == "put":
	case operation == "get":
		l.Reads = 1
	case operation == "txn":
		l.Operation = loadgen.Txn
	case operation == "update":
		l.Operation = loadgen.Update
	case sized && name == "range":
		l.Operation, l.RangeKeys = loadgen.Range, n
	case sized && name == "watch":
		l.Watchers, l.Rate = n, deliveriesPerSecond/float64(n)
	case sized && name == "lease":
		l.Operation, l.Keys = loadgen.KeepAlive, n
	default:
		return fmt.Errorf("-operations: %q is none of put, get, txn, update, range-N, watch-N, lease-N", operation)
	}
	if err := l.Validate(); err != nil {
		return fmt.Errorf("-operations: %s: %w", operation, err)
	}
	return nil
}

// checkOperations refuses those that are not known, or do not fit the keys.
func (p plan) checkOperations() (err error) {
	for _, o := range p.operations {
		_, wrong := p.load(result.Case{Operation: o, Callers: 1}, 1)
		err = errors.Join(err, wrong)
	}
	return err
}

// load returns the load of a case; the seed differs from round to round.
func (p plan) load(c result.Case, seed uint64) (loadgen.Load, error) {
	l := loadgen.Load{
		Callers: c.Callers, Keys: p.keys, KeySize: keySize, ValueSize: p.valueSize,
		Distribution: loadgen.Uniform, Seed: seed, Duration: p.duration,
	}
	return l, operate(&l, c.Operation)
}

// fill writes every key once.
func (p plan) fill() loadgen.Load {
	return loadgen.Load{
		Callers: 64, Keys: p.keys, KeySize: keySize, ValueSize: p.valueSize,
		Distribution: loadgen.Sequential, Ops: int64(p.keys),
	}
}

// cases lists what is measured in each round of a comparison.
func (p plan) cases(comparison string) (all []result.Case) {
	for _, operation := range p.operations {
		if comparison == "library" && !slices.Contains(libraryOperations, operation) {
			continue
		}
		for _, n := range p.callers {
			all = append(all, result.Case{Comparison: comparison, Operation: operation, Callers: n})
		}
	}
	return all
}

// compare measures the systems of one comparison, and adds to results. All systems run all the time
// and take turns, so that changes of the machine affect all of them. Each round begins with another
// system.
func (p plan) compare(ctx context.Context, comparison string, programs map[string]string, dir string, results *result.Results, progress io.Writer) (err error) {
	var children []*child
	defer func() {
		for _, k := range children {
			err = errors.Join(err, k.stop())
		}
	}()
	for _, c := range choose(comparison, p.systems) {
		fmt.Fprintf(progress, "%s %s: start\n", comparison, c.name)
		k, err := start(ctx, c, programs[c.program], filepath.Join(dir, comparison+"-"+c.name))
		if err != nil {
			return err
		}
		children = append(children, k)
		if _, err := k.run(ctx, order{Load: p.fill()}); err != nil {
			return err
		}
	}
	for round := range p.rounds {
		for _, c := range p.cases(comparison) {
			for turn := range children {
				k := children[(turn+round)%len(children)]
				load, err := p.load(c, uint64(round+1))
				if err != nil {
					return err
				}
				sample, err := k.run(ctx, order{load, p.warmup})
				if err != nil {
					return err
				}
				results.Add(c, k.name, sample)
				fmt.Fprintln(progress, p.line(round, c, k.name, sample))
			}
		}
	}
	return nil
}

// line returns a sample as a line of the progress.
func (p plan) line(round int, c result.Case, system string, s result.Sample) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d/%d  %s %s %4d callers  %-10s", round+1, p.rounds, c.Comparison, c.Operation, c.Callers, system)
	if of := s.Report.Main(); of != nil {
		fmt.Fprintf(&b, " %9s/s  p50 %-8s p99 %-8s CPU/op %s", loadgen.Thousands(int64(of.PerSecond)),
			loadgen.Round(of.Latency.P50), loadgen.Round(of.Latency.P99), loadgen.Round(s.CPU/time.Duration(of.Ops)))
		if s.Servers > 0 {
			fmt.Fprintf(&b, ", servers %s", loadgen.Round(s.Servers/time.Duration(of.Ops)))
		}
	}
	if n := s.Report.Failed(); n > 0 {
		fmt.Fprintf(&b, "  %d failed: %v", n, s.Report.Errors)
	}
	return b.String()
}
