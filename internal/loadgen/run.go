package loadgen

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// errorPause is how long a caller waits after an error, since a system may refuse at once.
const errorPause = 10 * time.Millisecond

// Generator runs loads on a system.
type Generator struct {
	// Systems are several connections to the same system; the callers are distributed among
	// them.
	Systems []System
	// Classify names the kind of an error. Default: all are "error".
	Classify func(error) string
	// Observe, if not nil, is called each Interval (default 1 s) of a run.
	Observe  func(Progress)
	Interval time.Duration
}

// Progress is the progress of a run.
type Progress struct {
	// Elapsed is the time since the start, and Since since the last Progress.
	Elapsed, Since time.Duration
	// Ops have succeeded since the last Progress, with these latencies.
	Ops      int64
	P50, P99 time.Duration
	// Done and Failed count since the start.
	Done, Failed int64
}

// run is one run of a Generator.
type run struct {
	*Generator
	load    Load
	value   []byte
	start   time.Time
	end     time.Time // no operation begins at or after it; zero: no bound
	tickets atomic.Int64
	nextKey atomic.Int64
	record  *recorder
}

// Run puts load on the systems and reports the result. When ctx ends, the operations in
// progress end too and are not counted; the report is of those before. Run returns an error
// only if the load is not valid.
func (g *Generator) Run(ctx context.Context, load Load) (*Report, error) {
	if err := load.Validate(); err != nil {
		return nil, err
	}
	if len(g.Systems) == 0 {
		return nil, errors.New("no system to put load on")
	}
	r := &run{Generator: g, load: load, value: value(load.ValueSize, load.Seed), record: newRecorder()}
	r.start = time.Now()
	if load.Duration > 0 {
		r.end = r.start.Add(load.Duration)
	}
	stop := r.observe()
	var callers sync.WaitGroup
	for i := range load.Callers {
		callers.Go(func() { r.call(ctx, i) })
	}
	callers.Wait()
	elapsed := time.Since(r.start)
	stop()
	return r.record.report(load, elapsed, ctx.Err() != nil), nil
}

// call is one caller, from the first operation to the last.
func (r *run) call(ctx context.Context, caller int) {
	system := r.Systems[caller%len(r.Systems)]
	shard := r.record.shard(caller)
	choose := newChooser(&r.load, caller, &r.nextKey)
	for ctx.Err() == nil {
		begin, ok := r.begin(ctx)
		if !ok {
			return
		}
		k := choose.kind()
		err := r.do(ctx, system, k, choose.key())
		took := time.Since(begin)
		if err != nil && ctx.Err() != nil {
			return
		}
		shard.add(k, took, r.kindOf(err))
		if err != nil {
			sleep(ctx, errorPause)
		}
	}
}

// begin waits until an operation may begin, and returns the time from which its
// latency counts; false if there is none any more.
func (r *run) begin(ctx context.Context) (time.Time, bool) {
	begin := time.Now()
	if r.load.Rate > 0 || r.load.Ops > 0 {
		ticket := r.tickets.Add(1) - 1
		if r.load.Ops > 0 && ticket >= r.load.Ops {
			return begin, false
		}
		if r.load.Rate > 0 {
			begin = r.start.Add(time.Duration(float64(ticket) / r.load.Rate * float64(time.Second)))
		}
	}
	if !r.end.IsZero() && !begin.Before(r.end) {
		return begin, false
	}
	return begin, sleep(ctx, time.Until(begin))
}

func (r *run) do(ctx context.Context, s System, k kind, key string) error {
	if r.load.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.load.Timeout)
		defer cancel()
	}
	if k == get {
		return s.Get(ctx, key)
	}
	return s.Put(ctx, key, r.value)
}

// kindOf returns the kind of an error, empty for nil.
func (r *run) kindOf(err error) string {
	switch {
	case err == nil:
		return ""
	case r.Classify == nil:
		return "error"
	default:
		return r.Classify(err)
	}
}

// observe calls Observe until the function returned is called.
func (r *run) observe() (stop func()) {
	if r.Observe == nil {
		return func() {}
	}
	interval := r.Interval
	if interval <= 0 {
		interval = time.Second
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		last := r.start
		for {
			select {
			case <-tick.C:
				now := time.Now()
				r.Observe(r.record.progress(now.Sub(r.start), now.Sub(last)))
				last = now
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}

// sleep waits for d. It returns false if ctx has ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
