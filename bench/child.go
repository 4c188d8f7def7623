package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"balsa/bench/result"
	"balsa/bench/usage"
	"balsa/internal/loadgen"
)

// Each contender runs in a process of its own, so that none has to live with another's
// garbage or goroutines, and so that its processor time can be told:
//
//	this process ──► stdin:  order, order, ...  ──► child: cluster + load
//	             ◄── stdout: answer, answer, ... ◄──
//
// The first answer says that the cluster is up. The end of stdin ends the child.

// order is a load to run, after a warmup with the same load.
type order struct {
	Load   loadgen.Load
	Warmup time.Duration
}

// answer is what came of an order.
type answer struct {
	Sample result.Sample
	Error  string // empty: none
}

// grace is how long a load may take beyond its duration.
const grace = time.Minute

// serve is the child: it runs a contender and the loads that it is ordered to.
func serve(comparison, name, program, dir string) error {
	signal.Ignore(os.Interrupt) // Ctrl-C reaches all processes; the parent ends this one
	c, err := find(comparison, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := json.NewEncoder(os.Stdout)
	up, err := c.open(ctx, program, dir, os.Stderr)
	if err != nil {
		return errors.Join(err, out.Encode(answer{Error: err.Error()}))
	}
	if err := out.Encode(answer{}); err != nil {
		return errors.Join(err, up.Close())
	}
	for o := range orders(os.Stdin, cancel) {
		sample, err := obey(ctx, up, o)
		a := answer{Sample: sample}
		if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			break
		}
	}
	return up.Close()
}

// orders reads orders from r; at its end it calls cancel, which ends the load in
// progress.
func orders(r io.Reader, cancel func()) <-chan order {
	ch := make(chan order)
	go func() {
		defer close(ch)
		defer cancel()
		for in := json.NewDecoder(r); ; {
			var o order
			if in.Decode(&o) != nil {
				return
			}
			ch <- o
		}
	}()
	return ch
}

// obey runs one load.
func obey(ctx context.Context, c cluster, o order) (sample result.Sample, err error) {
	systems, err := c.Systems(o.Load.Callers)
	if err != nil {
		return sample, err
	}
	g := &loadgen.Generator{Systems: systems, Classify: func(err error) string { return err.Error() }}
	ctx, cancel := context.WithTimeout(ctx, o.Warmup+o.Load.Duration+grace)
	defer cancel()
	if o.Warmup > 0 {
		warmup := o.Load
		warmup.Duration = o.Warmup
		if _, err := g.Run(ctx, warmup); err != nil {
			return sample, err
		}
	}
	before, err := processorTime(c)
	if err != nil {
		return sample, err
	}
	report, err := g.Run(ctx, o.Load)
	if err != nil {
		return sample, err
	}
	after, err := processorTime(c)
	return result.Sample{Report: *report, CPU: after - before}, err
}

// processorTime is that of the clients, in this process, and of the servers, wherever.
func processorTime(c cluster) (time.Duration, error) {
	self, err := usage.Self()
	if err != nil {
		return 0, err
	}
	others, err := c.CPU()
	if err != nil {
		return 0, fmt.Errorf("processor time of the servers: %w", err)
	}
	return self + others, nil
}
