package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"balsa.example/bench/result"
	"balsa.example/internal/loadgen"
)

// plan is what to measure, and how long.
type plan struct {
	comparisons, systems []string
	callers              []int
	rounds               int
	warmup, duration     time.Duration
	keys                 int
	valueSize            int
}

const keySize = 16

// load returns the load of a case; the seed differs from round to round.
func (p plan) load(c result.Case, seed uint64) loadgen.Load {
	l := loadgen.Load{
		Callers: c.Callers, Keys: p.keys, KeySize: keySize, ValueSize: p.valueSize,
		Distribution: loadgen.Uniform, Seed: seed, Duration: p.duration,
	}
	if c.Operation == "get" {
		l.Reads = 1
	}
	return l
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
	for _, operation := range []string{"put", "get"} {
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
				sample, err := k.run(ctx, order{p.load(c, uint64(round+1)), p.warmup})
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
	perOp := time.Duration(0)
	if ops := s.Report.Ops(); ops > 0 {
		perOp = s.CPU / time.Duration(ops)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d/%d  %s %s %4d callers  %-10s", round+1, p.rounds, c.Comparison, c.Operation, c.Callers, system)
	for _, of := range []*loadgen.Summary{s.Report.Puts, s.Report.Gets} {
		if of != nil {
			fmt.Fprintf(&b, " %9s/s  p50 %-8s p99 %-8s", loadgen.Thousands(int64(of.PerSecond)), loadgen.Round(of.Latency.P50), loadgen.Round(of.Latency.P99))
		}
	}
	fmt.Fprintf(&b, " CPU/op %s", loadgen.Round(perOp))
	if n := s.Report.Failed(); n > 0 {
		fmt.Fprintf(&b, "  %d failed: %v", n, s.Report.Errors)
	}
	return b.String()
}
