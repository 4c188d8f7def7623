package scale

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"balsa.example/bench/measure"
	"balsa.example/bench/service"
	"balsa.example/internal/loadgen"
)

const (
	maxName       = "max"
	snapshotsName = "snapshots"

	never = "never"
	often = "often"

	// watchInterval is how often servers are asked whether they have a new snapshot.
	watchInterval = 100 * time.Millisecond
	traceInterval = 250 * time.Millisecond
	// snapshotRounds are in turns without snapshots and with them.
	snapshotRounds = 2
	// restTime lets servers that were just started settle.
	restTime = 500 * time.Millisecond
)

// raftFlag makes a snapshot due after so many bytes of log.
func raftFlag(bytes int) []string { return []string{"--max-raft-state", strconv.Itoa(bytes)} }

// snapshots measures the latency of a load at a given rate, without snapshots and with
// one after the other.
func (s *session) snapshots(ctx context.Context) error {
	s.series.Axis = "snapshots are taken"
	s.series.Columns = append([]Column{{snapshotsName, Count, "", ""}, {maxName, Seconds, "", ""}}, putColumns...)
	s.series.Setup = fmt.Sprintf("%d servers with %s keys, one Clerk, %d callers, values of %d bytes; %d × %s with snapshots never due, and due after each %s of log, in turns. Snapshots are counted on all servers.",
		members, number(s.manyKeys), callers, valueSize, snapshotRounds, s.steady, Bytes.Text(float64(s.raftKB<<10)))
	err := s.cluster(ctx, members, nil, func(b *service.Balsa) error {
		if _, err := s.fill(ctx, b, s.manyKeys, valueSize); err != nil {
			return err
		}
		rate, err := s.quarter(ctx, b)
		if err != nil {
			return err
		}
		s.series.Setup += fmt.Sprintf(" Puts have appointed times, %s per second, which is a quarter of what callers reach that need not wait; latencies count from those.", number(int(rate)))
		for range snapshotRounds {
			for _, when := range []string{never, often} {
				if err := s.steadyLoad(ctx, b, when, rate); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if taken, ok := s.series.Median(often, snapshotsName); ok && taken == 0 {
		s.problem("no snapshot was taken where they should be many")
	}
	s.series.noFailures()
	ratio, ok := s.series.ratio(p99Name, often, never)
	s.series.goal("p99 while snapshots are taken is at most twice that without", Times, ratio, ratio <= 2, ok)
	return err
}

// quarter is a quarter of the puts per second that the cluster can do: enough room that
// snapshots do not make a backlog that grows, where they take processors from puts.
func (s *session) quarter(ctx context.Context, b *service.Balsa) (float64, error) {
	sample, err := measure.Load(ctx, b, s.puts(callers, s.manyKeys, valueSize), s.warmup, service.KindOf)
	if err == nil {
		err = ctx.Err()
	}
	return max(1, summary(sample).PerSecond/4), err
}

// steadyLoad restarts the servers with snapshots as they are wanted, and measures.
func (s *session) steadyLoad(ctx context.Context, b *service.Balsa, when string, rate float64) error {
	limit := -1
	if when == often {
		limit = s.raftKB << 10
	}
	if err := restartAll(ctx, b, raftFlag(limit)); err != nil {
		return err
	}
	g, err := generator(b)
	if err != nil {
		return err
	}
	load := s.puts(callers, s.manyKeys, valueSize)
	load.Rate, load.Duration = rate, s.warmup
	if _, err := g.Run(ctx, load); err != nil {
		return err
	}
	load.Duration = s.steady
	trace := Trace{Panel: "p99 of each quarter of a second", Line: when, Unit: Seconds, XLabel: "seconds", Step: traceInterval.Seconds()}
	g.Interval = traceInterval
	g.Observe = func(p loadgen.Progress) { trace.Values = append(trace.Values, p.P99.Seconds()) }
	watching, stop := context.WithCancel(ctx)
	taken := watchSnapshots(watching, b)
	sample, err := measure.Run(ctx, b, g, load)
	stop()
	if err = errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	if got := summary(sample).PerSecond; got < 0.95*rate {
		s.problem("with snapshots %s only %s puts per second were done of the %s appointed: the latencies are those of a backlog", when, number(int(got)), number(int(rate)))
	}
	row := s.series.Row(when, 0)
	row.fail(sample.Report.Errors)
	row.addPuts(sample)
	row.Add(snapshotsName, float64(<-taken))
	row.Add(maxName, summary(sample).Latency.Max.Seconds())
	if len(row.Values[maxName]) == 1 { // of the first round only: more lines would hide each other
		s.series.Traces = append(s.series.Traces, trace)
	}
	s.say("snapshots %s: %s, max %s", when, line(sample), loadgen.Round(summary(sample).Latency.Max))
	return nil
}

// restartAll stops all servers and starts them with other flags.
func restartAll(ctx context.Context, b *service.Balsa, flags []string) error {
	for i := range b.Members() {
		if err := b.Kill(i); err != nil {
			return err
		}
	}
	b.SetFlags(flags...)
	for i := range b.Members() {
		if err := b.Restart(i); err != nil {
			return err
		}
	}
	if err := errors.Join(b.Ready(ctx), caughtUp(ctx, b)); err != nil {
		return err
	}
	return pause(ctx, restTime)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// watchSnapshots counts the snapshots of all servers until ctx ends.
func watchSnapshots(ctx context.Context, b *service.Balsa) <-chan int {
	counts := make([]int, b.Members())
	var watchers sync.WaitGroup
	for i := range counts {
		watchers.Go(func() {
			var last uint64
			for seen := false; pause(ctx, watchInterval) == nil; {
				status, err := b.Status(ctx, i)
				if err != nil {
					continue
				}
				if seen && status.SnapshotIndex > last {
					counts[i]++
				}
				seen, last = true, status.SnapshotIndex
			}
		})
	}
	sum := make(chan int, 1)
	go func() {
		watchers.Wait()
		total := 0
		for _, n := range counts {
			total += n
		}
		sum <- total
	}()
	return sum
}
