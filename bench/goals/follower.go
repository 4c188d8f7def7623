package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"balsa.example/internal/loadgen"
)

// Goals of a follower that catches up while half of the full load goes on.
const (
	leastCatchUp = 200e6 // bytes/s, or what the disk does
	mostSlower   = 2.0   // p99, of that before
	leastHeld    = 0.98  // of the rate
)

// askEvery is how often servers are asked how far they are.
const askEvery = 100 * time.Millisecond

// measureFollower kills a follower, writes all values, and measures how it catches up.
func (r *rig) measureFollower(ctx context.Context) error {
	disk, err := diskSpeed(r.dir, r.bytes/5)
	if err != nil {
		return err
	}
	r.say("the disk writes %.0f MB/s, with a sync of each MiB", disk/1e6)
	return r.cluster(ctx, 0, nil, func(c *cluster) error {
		keys := int(r.bytes / int64(r.value))
		full, err := c.load(ctx, "full load", r.puts(keys, r.value, 0))
		if err != nil {
			return err
		}
		half := r.puts(keys, r.value, full.PerSecond/2)
		before, err := c.load(ctx, "half of it", half)
		if err != nil {
			return err
		}
		behind, err := c.leaveBehind(ctx, keys, r.value)
		if err != nil {
			return err
		}
		during, caughtUp, err := c.catchUp(ctx, behind, half)
		if err != nil {
			return err
		}
		if _, err := c.load(ctx, "half of it, when all is well again", half); err != nil {
			return err
		}
		if err := c.usage(); err != nil {
			return err
		}
		goal := min(leastCatchUp, disk)
		r.goal("catches up at 200 MB/s, or at the speed of the disk", caughtUp >= goal, "%.0f MB/s; the disk %.0f MB/s", caughtUp/1e6, disk/1e6)
		r.goal("half of the full load is held", during.PerSecond >= leastHeld*half.Rate, "%.0f/s of %.0f/s", during.PerSecond, half.Rate)
		times := float64(during.Latency.P99) / float64(before.Latency.P99)
		r.goal("p99 of puts meanwhile: at most 2 times that before", times <= mostSlower, "%s, before %s: %.2f times; longest %s, before %s", loadgen.Round(during.Latency.P99),
			loadgen.Round(before.Latency.P99), times, loadgen.Round(during.Latency.Max), loadgen.Round(before.Latency.Max))
		return nil
	})
}

// leaveBehind kills a follower, and writes keys without it. It returns which it was.
func (c *cluster) leaveBehind(ctx context.Context, keys, value int) (follower int, err error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return 0, err
	}
	follower = (leader + 1) % members
	if err := c.Kill(follower); err != nil {
		return 0, err
	}
	_, err = c.fill(ctx, keys, value)
	return follower, err
}

// catchUp starts a follower under a load, which goes on until the follower has all. It returns what the load has shown,
// and how many bytes of files the follower got in a second.
func (c *cluster) catchUp(ctx context.Context, follower int, load loadgen.Load) (during *loadgen.Summary, perSecond float64, err error) {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	caughtUp := make(chan error, 1)
	go func() {
		defer stop()
		var err error
		perSecond, err = c.restart(ctx, follower)
		caughtUp <- err
	}()
	load.Duration = time.Hour // stop ends it
	during, err = c.load(loading, "the same while the follower catches up", load)
	return during, perSecond, errors.Join(err, <-caughtUp)
}

// restart starts a follower, and returns how many bytes it got in a second until it had caught up.
func (c *cluster) restart(ctx context.Context, follower int) (perSecond float64, err error) {
	before, err := diskUse(c.Data(follower))
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := errors.Join(c.Restart(follower), c.CaughtUpAsking(ctx, follower, askEvery)); err != nil {
		return 0, err
	}
	took := time.Since(began)
	after, err := diskUse(c.Data(follower))
	if err != nil {
		return 0, err
	}
	perSecond = float64(after-before) / took.Seconds()
	c.say("the follower got %s in %s: %.0f MB/s", text(after-before), loadgen.Round(took), perSecond/1e6)
	return perSecond, nil
}

// diskSpeed writes so many bytes as the files of the history are written, and returns bytes/s.
func diskSpeed(dir string, bytes int64) (perSecond float64, err error) {
	const piece = 1 << 20
	f, err := os.Create(filepath.Join(dir, "speed"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	b := make([]byte, piece)
	rand.NewChaCha8([32]byte{1}).Read(b)
	began := time.Now()
	pieces := max(1, int(bytes/piece))
	for range pieces {
		if _, err := f.Write(b); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return float64(pieces*piece) / time.Since(began).Seconds(), nil
}
