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
	// Began and Ended, if not nil, are called just before the first operation begins, and when the last one
	// has ended. The leases and watchers of a load are made before that, and taken away behind it.
	Began, Ended func()
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
	leases  []int64
	watch   watching
}

// Run puts load on the systems and reports the result. When ctx ends, the operations in
// progress end too and are not counted; the report is of those before. Run returns an error if
// the load is not valid, or if its leases or watchers cannot be made.
func (g *Generator) Run(ctx context.Context, load Load) (*Report, error) {
	if err := load.Validate(); err != nil {
		return nil, err
	}
	if err := g.fit(load); err != nil {
		return nil, err
	}
	r := &run{Generator: g, load: load, value: value(load.ValueSize, load.Seed), record: newRecorder()}
	granting, err := r.grantLeases(ctx)
	defer r.revokeLeases(ctx)
	if err == nil {
		err = r.startWatchers(ctx)
		defer r.stopWatchers()
	}
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	if g.Began != nil {
		g.Began()
	}
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
	r.drainWatchers(ctx)
	delivering := time.Since(r.start)
	if g.Ended != nil {
		g.Ended()
	}
	report := r.record.report(load, elapsed, ctx.Err() != nil)
	report.Grants.took(granting)
	report.Deliveries.took(delivering)
	return report, nil
}

// fit returns an error if the systems cannot do what a load takes.
func (g *Generator) fit(load Load) error {
	if len(g.Systems) == 0 {
		return errors.New("no system to put load on")
	}
	for _, s := range g.Systems {
		if _, ok := s.(Store); !ok && load.needsStore() {
			return errors.New("the system can only put and get")
		}
	}
	return nil
}

// store returns the system of a caller or a watcher, of a load for Stores.
func (r *run) store(i int) Store { return r.Systems[i%len(r.Systems)].(Store) }

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
		err := r.do(ctx, system, k, choose.key(), begin)
		took := time.Since(begin)
		if err != nil && ctx.Err() != nil {
			return
		}
		shard.add(k, took, r.kindOf(err))
		if k.writes() && err == nil {
			r.watch.written.Add(1)
		}
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

// bound returns a context that ends with the time of one operation.
func (r *run) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.load.Timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, r.load.Timeout)
}

func (r *run) do(ctx context.Context, s System, k kind, i int, begin time.Time) error {
	ctx, cancel := r.bound(ctx)
	defer cancel()
	key := Key(i, r.load.KeySize)
	switch k {
	case get:
		return s.Get(ctx, key)
	case txn:
		return s.(Store).Txn(ctx, key, r.stamped(begin))
	case update:
		return s.(Store).Update(ctx, key, r.stamped(begin))
	case ranges:
		return s.(Store).Range(ctx, key, Key(i+r.load.RangeKeys-1, r.load.KeySize))
	case keepAlive:
		return s.(Store).KeepAlive(ctx, r.leases[i])
	default:
		return s.Put(ctx, key, r.stamped(begin))
	}
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
