package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"balsa.example/bench/service"
	"balsa.example/internal/loadgen"
)

// Goals of puts at half of the full load, while files are made.
const (
	longestPut  = 20 * time.Millisecond
	mostOfQuiet = 1.3 // p99, of that without
)

const (
	// smallValue is the size of the values of that load, in bytes. What is live of it is a part of all bytes.
	smallValue, livePart = 1 << 10, 40
	// compactEvery and kept keep so little history that files are written anew all the time.
	compactEvery = time.Second
	kept         = 10_000
	// behindPart is the part of the bytes that the follower lacks.
	behindPart = 5
)

// neverWrite lets the log grow instead of files. Servers hold all of it in memory, and with
// some 400 MiB of it they stand still for 50 ms now and then. So each load without files has servers of its own.
var neverWrite = []string{"--max-raft-state=17179869184"}

// measureLongest measures a load without files that are written, and while they are written, written anew and received.
func (r *rig) measureLongest(ctx context.Context) error {
	keys := int(r.bytes / livePart / smallValue)
	var full, quiet *loadgen.Summary
	withoutFiles := func(what string, rate float64, s **loadgen.Summary) error {
		return r.cluster(ctx, 0, neverWrite, func(c *cluster) (err error) {
			*s, err = c.filledLoad(ctx, what, r.puts(keys, smallValue, rate))
			return err
		})
	}
	if err := withoutFiles("full load, no files written", 0, &full); err != nil {
		return err
	}
	load := r.puts(keys, smallValue, full.PerSecond/2)
	if err := withoutFiles("half of it, no files written", load.Rate, &quiet); err != nil {
		return err
	}
	judge := func(while string, s *loadgen.Summary) {
		r.goal("longest put while files are "+while+": 20 ms", s.Latency.Max <= longestPut, "%s; without %s", loadgen.Round(s.Latency.Max), loadgen.Round(quiet.Latency.Max))
		times := float64(s.Latency.P99) / float64(quiet.Latency.P99)
		r.goal("p99 meanwhile: at most 1.3 times that without", times <= mostOfQuiet, "%s, without %s: %.2f times", loadgen.Round(s.Latency.P99), loadgen.Round(quiet.Latency.P99), times)
	}
	return r.cluster(ctx, 0, []string{service.Metrics}, func(c *cluster) error {
		if _, err := c.fill(ctx, keys, smallValue); err != nil {
			return err
		}
		written, err := c.load(ctx, "files written", load)
		if err != nil {
			return err
		}
		if err := c.works(ctx); err != nil {
			return err
		}
		judge("written", written)
		rewritten, err := c.whileCompacting(ctx, load)
		if err != nil {
			return err
		}
		judge("written anew", rewritten)
		behind, err := c.leaveBehind(ctx, int(r.bytes/behindPart/int64(r.value)), r.value)
		if err != nil {
			return err
		}
		received, _, err := c.catchUp(ctx, behind, load)
		if err != nil {
			return err
		}
		judge("received", received)
		return c.usage()
	})
}

// whileCompacting puts a load on servers that forget all but the newest history.
func (c *cluster) whileCompacting(ctx context.Context, load loadgen.Load) (*loadgen.Summary, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	compacted := make(chan error, 1)
	go func() { compacted <- c.compactAgain(ctx, load.Duration) }()
	s, err := c.load(ctx, "files written anew", load)
	if err != nil {
		stop()
	}
	return s, errors.Join(err, <-compacted)
}

// compactAgain compacts each second for a while, and tells how much history there was in the end.
func (c *cluster) compactAgain(ctx context.Context, during time.Duration) error {
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	leader, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	for ended := time.After(during); ; {
		s, err := c.Status(ctx, leader)
		if err == nil && s.Revision > s.CompactedRevision+kept {
			err = c.Clerk().Compact(ctx, s.Revision-kept)
		}
		if err != nil {
			return fmt.Errorf("compact: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			c.say("the history has %s then, in %d files", text(int64(s.HistoryBytes)), s.Runs)
			return c.works(ctx)
		}
	}
}

// works tells how often each server has made files, without which the load has met nothing.
func (c *cluster) works(ctx context.Context) error {
	for i := range members {
		var n [2]float64
		for k, work := range [...]string{"checkpoint", "rewrite"} {
			var err error
			if n[k], err = c.Metric(ctx, i, fmt.Sprintf("balsa_work_duration_seconds_count{work=%q}", work)); err != nil {
				return err
			}
		}
		c.say("n%d has written files %.0f times, and written files anew %.0f times", i+1, n[0], n[1])
	}
	return nil
}
