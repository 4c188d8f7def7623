package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"time"

	"balsa.example/bench/measure"
	"balsa.example/bench/result"
	"balsa.example/bench/service"
	"balsa.example/internal/loadgen"
)

// Each contender runs in its own process, so that it does not share a garbage collector or a
// scheduler with others, and so that its processor time can be measured:
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

// answer is the result of an order.
type answer struct {
	Sample result.Sample
	Error  string // empty: none
}

// serve is the child process: it runs a contender, and the loads that are ordered.
func serve(comparison, name, program, dir string) error {
	signal.Ignore(os.Interrupt) // Ctrl-C reaches all processes; the parent ends this one
	c, err := find(comparison, name)
	if err != nil {
		return err
	}
	if comparison != "library" {
		service.CollectSeldom()
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
		sample, err := measure.Load(ctx, up, o.Load, o.Warmup, error.Error)
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
