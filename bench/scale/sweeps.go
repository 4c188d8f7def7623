package scale

import (
	"context"
	"fmt"
	"slices"

	"balsa.example/bench/service"
	"balsa.example/internal/loadgen"
)

// number is a row's label.
func number(n int) string { return loadgen.Thousands(int64(n)) }

// callers measures puts of more and more callers.
func (s *session) callers(ctx context.Context) error {
	s.series.Axis, s.series.Columns = "callers", putColumns
	s.series.Setup = fmt.Sprintf("%d servers, one Clerk, values of %d bytes, %s keys; median and extremes of %d × %s.",
		members, valueSize, number(fewKeys), s.rounds, s.duration)
	err := s.cluster(ctx, members, nil, func(b *service.Balsa) error {
		if _, err := s.fill(ctx, b, fewKeys, valueSize); err != nil {
			return err
		}
		return s.sweep(ctx, b, s.callerCounts, func(n int) loadgen.Load { return s.puts(n, fewKeys, valueSize) })
	})
	s.series.noFailures()
	last := len(s.callerCounts) - 1
	most, before := number(s.callerCounts[last]), number(s.callerCounts[last-1])
	ratio, ok := s.series.ratio(rateName, most, before)
	s.series.goal(fmt.Sprintf("%s callers put at least 0.9 times as many per second as %s", most, before), Times, ratio, ratio >= 0.9, ok)
	return err
}

// sizeKeys are few, so that the store stays small whatever the size of a value.
const sizeKeys = 1000

// valueSizes measures puts of larger and larger values.
func (s *session) valueSizes(ctx context.Context) error {
	const bytesName = "bytes/s"
	s.series.Axis = "bytes"
	s.series.Columns = slices.Concat(putColumns, []Column{{bytesName, Bytes, "bytes of values per second", bytesName}})
	s.series.Setup = fmt.Sprintf("%d servers, one Clerk, %d callers, %s keys; median and extremes of %d × %s.",
		members, callers, number(sizeKeys), s.rounds, s.duration)
	err := s.cluster(ctx, members, nil, func(b *service.Balsa) error {
		return s.sweep(ctx, b, s.valueBytes, func(n int) loadgen.Load { return s.puts(callers, sizeKeys, n) })
	})
	for _, n := range s.valueBytes {
		row := s.series.Row(number(n), float64(n))
		for _, rate := range row.Values[rateName] {
			row.Add(bytesName, rate*float64(n))
		}
	}
	s.series.noFailures()
	small, large := number(s.valueBytes[0]), number(s.valueBytes[len(s.valueBytes)-1])
	ratio, ok := s.series.ratio(bytesName, large, small)
	s.series.goal(fmt.Sprintf("values of %s bytes carry more bytes per second than those of %s", large, small), Times, ratio, ratio > 1, ok)
	return err
}

// nodes measures puts on more and more servers.
func (s *session) nodes(ctx context.Context) error {
	s.series.Axis, s.series.Columns = "servers", putColumns
	s.series.Setup = fmt.Sprintf("One Clerk, %d callers, values of %d bytes, %s keys; median and extremes of %d × %s. All servers share this machine.",
		callers, valueSize, number(fewKeys), s.rounds, s.duration)
	var err error
	for _, n := range s.nodeCounts {
		err = s.cluster(ctx, n, nil, func(b *service.Balsa) error {
			if _, err := s.fill(ctx, b, fewKeys, valueSize); err != nil {
				return err
			}
			return s.sweep(ctx, b, []int{n}, func(int) loadgen.Load { return s.puts(callers, fewKeys, valueSize) })
		})
		if err != nil {
			break
		}
	}
	s.series.noFailures()
	last := s.nodeCounts[len(s.nodeCounts)-1]
	growth := float64(last) / members
	ratio, ok := s.series.ratio(cpuName, number(last), number(members))
	s.series.goal(fmt.Sprintf("with %d servers a put takes at most %.2f times the processor time that it takes with %d, as they are so many times more",
		last, growth, members), Times, ratio, ratio <= growth, ok)
	return err
}

// sweep measures puts at each point, round by round, so that what changes on the
// machine changes for all points.
func (s *session) sweep(ctx context.Context, b *service.Balsa, points []int, load func(int) loadgen.Load) error {
	for range s.rounds {
		for _, n := range points {
			row := s.series.Row(number(n), float64(n))
			sample, err := s.sample(ctx, b, load(n), row)
			if err != nil {
				return err
			}
			row.addPuts(sample)
		}
	}
	return nil
}
