package main

import (
	"context"
	"time"

	"balsa.example/internal/loadgen"
)

// Goals of values that are larger than the memory.
const (
	leastPuts = 0.5 // of those where all is in memory
	mostGet   = 5 * time.Millisecond
)

// inMemory is the part of the values that is written where all of it stays in memory.
const inMemory = 5

// seen is what three loads have shown: all keys written once, puts and gets of keys at random.
type seen struct{ fill, puts, gets *loadgen.Summary }

// measureMemory compares servers whose values are several times their memory with servers whose values are in memory.
func (r *rig) measureMemory(ctx context.Context) error {
	keys := int(r.bytes / int64(r.value))
	var free, tight seen
	err := r.cluster(ctx, 0, nil, func(c *cluster) (err error) {
		free, err = c.putsAndGets(ctx, max(1, keys/inMemory))
		return err
	})
	if err != nil {
		return err
	}
	r.say("now %s, where each server has %s of memory", text(r.bytes), text(r.memory))
	if err := r.cluster(ctx, r.memory, nil, func(c *cluster) (err error) {
		tight, err = c.putsAndGets(ctx, keys)
		return err
	}); err != nil {
		return err
	}
	r.goal("it runs", true, "%s of values, %s of memory for each server", text(r.bytes), text(r.memory))
	ratio := func(what string, tight, free *loadgen.Summary) {
		of := tight.PerSecond / free.PerSecond
		r.goal(what+": at least 0.5 of those in memory", of >= leastPuts, "%.0f/s of %.0f/s: %.2f", tight.PerSecond, free.PerSecond, of)
	}
	ratio("puts of new keys", tight.fill, free.fill)
	ratio("puts of random keys", tight.puts, free.puts)
	p99 := tight.gets.Latency.P99
	r.goal("gets of random keys: p99 below 5 ms", p99 < mostGet, "%s, at %.0f/s; longest %s", loadgen.Round(p99), tight.gets.PerSecond, loadgen.Round(tight.gets.Latency.Max))
	return nil
}

func (c *cluster) putsAndGets(ctx context.Context, keys int) (s seen, err error) {
	if s.fill, err = c.fill(ctx, keys, c.value); err != nil {
		return s, err
	}
	if err := c.usage(); err != nil {
		return s, err
	}
	if s.puts, err = c.load(ctx, "puts of random keys", c.rig.puts(keys, c.value, 0)); err != nil {
		return s, err
	}
	gets := c.rig.puts(keys, c.value, 0)
	gets.Callers, gets.Reads = getters, 1
	if s.gets, err = c.load(ctx, "gets of random keys", gets); err != nil {
		return s, err
	}
	return s, c.usage()
}
