package scale

import (
	"context"
	"errors"
	"fmt"

	"balsa.example/bench/measure"
	"balsa.example/bench/service"
	"balsa.example/clerk"
)

const (
	linearizable = "linearizable"
	byLease      = "lease"
	local        = "local"
)

// consistencies are the kinds of reads, from the most expensive to the cheapest.
var consistencies = []struct {
	name    string
	options []clerk.ReadOption
}{{linearizable, nil}, {byLease, []clerk.ReadOption{clerk.ByLease()}}, {local, []clerk.ReadOption{clerk.Local()}}}

// readNames are those of the columns for a number of callers.
func readNames(callers int) (rate, p50, cpu string) {
	return "gets/s, " + number(callers), p50Name + ", " + number(callers), "CPU/get, " + number(callers)
}

// reads measures gets of each consistency.
func (s *session) reads(ctx context.Context) error {
	s.series.Axis = "consistency"
	for _, n := range s.readCallers {
		rate, p50, cpu := readNames(n)
		s.series.Columns = append(s.series.Columns, Column{rate, PerSecond, "", ""}, Column{p50, Seconds, "", ""}, Column{cpu, Seconds, "", ""})
	}
	s.series.Setup = fmt.Sprintf("%d servers with --lease-reads, one Clerk, values of %d bytes, %s keys; median and extremes of %d × %s.",
		members, valueSize, number(fewKeys), s.rounds, s.duration/2)
	err := s.cluster(ctx, members, []string{"--lease-reads"}, func(b *service.Balsa) error {
		if _, err := s.fill(ctx, b, fewKeys, valueSize); err != nil {
			return err
		}
		for range s.rounds {
			for _, n := range s.readCallers {
				for _, c := range consistencies {
					if err := s.read(ctx, b.Reading(c.options...), n, s.series.Row(c.name, 0)); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	s.series.noFailures()
	rate, _, _ := readNames(s.readCallers[0])
	ratio, ok := s.series.ratio(rate, byLease, linearizable)
	s.series.goal(fmt.Sprintf("with %d caller, reads by lease are faster than those that ask a majority", s.readCallers[0]), Times, ratio, ratio > 1, ok)
	return err
}

func (s *session) read(ctx context.Context, b *service.Balsa, callers int, row *Row) error {
	load := s.puts(callers, fewKeys, valueSize)
	load.Reads, load.Duration = 1, s.duration/2
	sample, err := s.sample(ctx, b, load, row)
	if err != nil {
		return err
	}
	if of := summary(sample); of.Ops > 0 {
		rate, p50, cpu := readNames(callers)
		row.Add(rate, of.PerSecond)
		row.Add(p50, of.Latency.P50.Seconds())
		row.Add(cpu, cpuPerOp(sample))
	}
	return nil
}

const (
	allocationsName = "allocations on the leader"
	allocatedName   = "bytes allocated"
	operationsName  = "operations/s"
	// mostAllocations are those of a put on the leader.
	mostAllocations = 5
)

// allocations counts those of the leader.
func (s *session) allocations(ctx context.Context) error {
	s.series.Axis = "operation"
	s.series.Columns = []Column{{allocationsName, Count, "", ""}, {allocatedName, Bytes, "", ""}, {operationsName, PerSecond, "", ""}}
	s.series.Setup = fmt.Sprintf("%d servers that serve metrics, from which the counts are taken; one Clerk, %s callers, values of %d bytes, %s keys; median and extremes of %d × %s.",
		members, number(manyCallers), valueSize, number(fewKeys), s.rounds, s.duration)
	err := s.cluster(ctx, members, []string{service.Metrics}, func(b *service.Balsa) error {
		if _, err := s.fill(ctx, b, fewKeys, valueSize); err != nil {
			return err
		}
		for range s.rounds {
			for reads, operation := range []string{"put", "get"} {
				if err := s.allocate(ctx, b, float64(reads), s.series.Row(operation, 0)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	s.series.noFailures()
	n, ok := s.series.Median("put", allocationsName)
	s.series.goal(fmt.Sprintf("a put allocates at most %d times on the leader", mostAllocations), Times, n, n <= mostAllocations, ok)
	return err
}

// allocate runs a load and adds what the leader allocated for each operation. What it
// allocates without any, in so short a time, is not worth the subtraction.
func (s *session) allocate(ctx context.Context, b *service.Balsa, reads float64, row *Row) error {
	leader, err := b.Leader(ctx)
	if err != nil {
		return err
	}
	load := s.puts(manyCallers, fewKeys, valueSize)
	load.Reads = reads
	g, err := generator(b)
	if err != nil {
		return err
	}
	var before, after [2]float64
	if before, err = allocated(ctx, b, leader); err != nil {
		return err
	}
	sample, err := measure.Run(ctx, b, g, load)
	if err != nil {
		return err
	}
	if after, err = allocated(ctx, b, leader); err != nil {
		return err
	}
	switch now, err := b.Leader(ctx); {
	case err != nil:
		return err
	case now != leader:
		return errors.New("the leader changed while its allocations were counted")
	}
	row.fail(sample.Report.Errors)
	s.say("%s: %s", row.Label, line(sample))
	if ops := float64(sample.Report.Ops()); ops > 0 {
		row.Add(allocationsName, (after[0]-before[0])/ops)
		row.Add(allocatedName, (after[1]-before[1])/ops)
		row.Add(operationsName, summary(sample).PerSecond)
	}
	return nil
}

// allocated is how often and how many bytes server i has allocated since it started.
func allocated(ctx context.Context, b *service.Balsa, i int) (all [2]float64, err error) {
	for k, name := range []string{"go_memstats_mallocs_total", "go_memstats_alloc_bytes_total"} {
		if all[k], err = b.Metric(ctx, i, name); err != nil {
			return all, err
		}
	}
	return all, nil
}
