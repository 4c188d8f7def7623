package scale

import (
	"context"
	"fmt"
	"time"

	"balsa.example/bench/measure"
	"balsa.example/bench/result"
	"balsa.example/bench/service"
	"balsa.example/internal/loadgen"
)

const (
	// fillers is enough callers to preload as fast as the servers can.
	fillers = 2000
	// operationTimeout ends an operation that nobody answers.
	operationTimeout = 10 * time.Second
	sayInterval      = 3 * time.Second
)

// puts is a load of the series' duration.
func (s *session) puts(callers, keys, size int) loadgen.Load {
	return loadgen.Load{
		Callers: callers, Keys: keys, KeySize: keySize, ValueSize: size,
		Distribution: loadgen.Uniform, Seed: 1, Timeout: operationTimeout, Duration: s.duration,
	}
}

// generator is for b, and counts errors by kind.
func generator(b *service.Balsa) (*loadgen.Generator, error) {
	systems, err := b.Systems(1)
	return &loadgen.Generator{Systems: systems, Classify: service.KindOf}, err
}

// fill writes every key once, and returns the operations per second.
func (s *session) fill(ctx context.Context, b *service.Balsa, keys, size int) (float64, error) {
	g, err := generator(b)
	if err != nil {
		return 0, err
	}
	g.Interval = sayInterval
	g.Observe = func(p loadgen.Progress) {
		s.say("preload: %s of %s keys", loadgen.Thousands(p.Done), loadgen.Thousands(int64(keys)))
	}
	report, err := g.Run(ctx, loadgen.Load{
		Callers: min(fillers, keys), Keys: keys, KeySize: keySize, ValueSize: size,
		Distribution: loadgen.Sequential, Timeout: operationTimeout, Ops: int64(keys),
	})
	switch {
	case err != nil:
		return 0, err
	case ctx.Err() != nil:
		return 0, fmt.Errorf("preload %d keys: %w", keys, ctx.Err())
	case report.Failed() > 0:
		s.problem("while %s keys were preloaded, puts failed: %v", loadgen.Thousands(int64(keys)), report.Errors)
	}
	return float64(report.Ops()) / report.Elapsed.Seconds(), nil
}

// sample measures a load after the series' warmup. Failures count for row.
func (s *session) sample(ctx context.Context, b *service.Balsa, load loadgen.Load, row *Row) (result.Sample, error) {
	sample, err := measure.Load(ctx, b, load, s.warmup, service.KindOf)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return sample, err
	}
	row.fail(sample.Report.Errors)
	s.say("%s %s: %s", row.Label, s.series.Axis, line(sample))
	return sample, nil
}

// summary is of the operations of a load of one kind; empty if none succeeded.
func summary(sample result.Sample) loadgen.Summary {
	if of := sample.Report.Main(); of != nil {
		return *of
	}
	return loadgen.Summary{}
}

// cpuPerOp is in seconds.
func cpuPerOp(sample result.Sample) float64 {
	return sample.CPU.Seconds() / float64(max(1, sample.Report.Ops()))
}

// line is a sample as it is shown at once.
func line(sample result.Sample) string {
	of := summary(sample)
	text := fmt.Sprintf("%s/s  p50 %s  p99 %s  CPU/op %s", loadgen.Thousands(int64(of.PerSecond)),
		loadgen.Round(of.Latency.P50), loadgen.Round(of.Latency.P99), loadgen.Round(time.Duration(cpuPerOp(sample)*float64(time.Second))))
	if n := sample.Report.Failed(); n > 0 {
		text += fmt.Sprintf("  %d failed: %v", n, sample.Report.Errors)
	}
	return text
}

// Columns of a plain load of puts.
const (
	rateName = "puts/s"
	p50Name  = "p50"
	p99Name  = "p99"
	p999Name = "p99.9"
	cpuName  = "CPU/put"
)

var putColumns = []Column{
	{rateName, PerSecond, "puts per second", rateName},
	{p50Name, Seconds, "latency", p50Name},
	{p99Name, Seconds, "latency", p99Name},
	{p999Name, Seconds, "", ""},
	{cpuName, Seconds, "processor time of a put", cpuName},
}

// addPuts adds a sample to the columns of putColumns.
func (r *Row) addPuts(sample result.Sample) {
	of := summary(sample)
	if of.Ops == 0 {
		return // that all failed is seen from the errors
	}
	r.Add(rateName, of.PerSecond)
	r.Add(p50Name, of.Latency.P50.Seconds())
	r.Add(p99Name, of.Latency.P99.Seconds())
	r.Add(p999Name, of.Latency.P999.Seconds())
	r.Add(cpuName, cpuPerOp(sample))
}
