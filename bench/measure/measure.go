// Package measure puts a load on a running system. It reports the operations and their
// latencies, and the processor time that they cost.
package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"balsa.example/bench/result"
	"balsa.example/bench/usage"
	"balsa.example/internal/loadgen"
)

// Cluster is a running system.
type Cluster interface {
	// Systems returns the systems for so many callers.
	Systems(callers int) ([]loadgen.System, error)
	// CPU is the processor time used by other processes than this one.
	CPU() (time.Duration, error)
	Close() error
}

// grace is how much longer than its duration a load may take.
const grace = time.Minute

// Load runs a load, after a warmup with the same load. A load without a duration is bounded by ctx
// only. classify names the kinds of errors.
func Load(ctx context.Context, c Cluster, load loadgen.Load, warmup time.Duration, classify func(error) string) (sample result.Sample, err error) {
	systems, err := c.Systems(load.Callers)
	if err != nil {
		return sample, err
	}
	g := &loadgen.Generator{Systems: systems, Classify: classify}
	if load.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, warmup+load.Duration+grace)
		defer cancel()
	}
	if warmup > 0 {
		before := load
		before.Duration = warmup
		if _, err := g.Run(ctx, before); err != nil {
			return sample, err
		}
	}
	return Run(ctx, c, g, load)
}

// Run runs a load of a generator on c, whose processor time is counted: that of the load alone, without what
// its leases and watchers take to be made.
func Run(ctx context.Context, c Cluster, g *loadgen.Generator, load loadgen.Load) (sample result.Sample, err error) {
	var began, ended reading
	measured := *g
	measured.Began, measured.Ended = func() { began.read(c) }, func() { ended.read(c) }
	report, err := measured.Run(ctx, load)
	if err = errors.Join(err, began.err, ended.err); err != nil {
		return sample, err
	}
	return result.Sample{Report: *report, CPU: ended.all - began.all, Servers: ended.servers - began.servers}, nil
}

// reading is what used has said at a time.
type reading struct {
	all, servers time.Duration
	err          error
}

func (r *reading) read(c Cluster) { r.all, r.servers, r.err = used(c) }

// used is the processor time so far: of clients and servers together, and of the servers.
func used(c Cluster) (all, servers time.Duration, err error) {
	self, err := usage.Self()
	if err != nil {
		return 0, 0, err
	}
	if servers, err = c.CPU(); err != nil {
		return 0, 0, fmt.Errorf("processor time of the servers: %w", err)
	}
	return self + servers, servers, nil
}

// ProcessorTime is the processor time of the clients, in this process, and of the servers.
func ProcessorTime(c Cluster) (time.Duration, error) {
	all, _, err := used(c)
	return all, err
}
