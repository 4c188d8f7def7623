package loadgen

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A stamped value begins with the number of its run, and the time when its put began, in
// nanoseconds since the watchers' start: little-endian, 8 bytes each.
const stampSize = 16

// probeTime is the time of a put that only shows which watchers are there.
const probeTime = -1

const (
	probeInterval = 100 * time.Millisecond
	// watchersStart bounds how long it takes until all watchers are there.
	watchersStart = time.Minute
	// drainTime bounds how long watchers may be behind at the end.
	drainTime = 10 * time.Second
	drainPoll = 10 * time.Millisecond
)

// undelivered is the kind of errors that are values which a watcher was not told in time.
const undelivered = "undelivered"

// watching is the watchers of a run.
type watching struct {
	run                int64     // its number, in the values
	epoch              time.Time // before the run's start
	stop               context.CancelFunc
	running            sync.WaitGroup
	ready              atomic.Int64 // watchers that were told of a probe
	written, delivered atomic.Int64 // since the run's start
}

// stamped returns the value of a put that began at a time.
func (r *run) stamped(begin time.Time) []byte {
	if r.load.Watchers == 0 {
		return r.value
	}
	return r.stamp(int64(begin.Sub(r.watch.epoch)))
}

func (r *run) stamp(at int64) []byte {
	v := append([]byte(nil), r.value...)
	binary.LittleEndian.PutUint64(v, uint64(r.watch.run))
	binary.LittleEndian.PutUint64(v[8:], uint64(at))
	return v
}

// startWatchers starts the watchers of a load, and puts a key again and again until each was
// told of it: then it misses nothing that follows.
func (r *run) startWatchers(ctx context.Context) error {
	w := &r.watch
	w.run, w.epoch = rand.Int64(), time.Now()
	watching, stop := context.WithCancel(ctx)
	w.stop = stop
	failed := make(chan error, max(1, r.load.Watchers))
	for i := range r.load.Watchers {
		w.running.Go(func() {
			if err := r.watchKeys(watching, i); watching.Err() == nil {
				failed <- fmt.Errorf("watcher %d of %d ended: %w", i+1, r.load.Watchers, err)
			}
		})
	}
	for end := time.Now().Add(watchersStart); w.ready.Load() < int64(r.load.Watchers); {
		if err := r.probe(ctx); err != nil {
			return fmt.Errorf("put for the watchers: %w", err)
		}
		select {
		case err := <-failed:
			return err
		case <-time.After(probeInterval):
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d watchers are told of a put within %v", w.ready.Load(), r.load.Watchers, watchersStart)
		}
	}
	return nil
}

func (r *run) probe(ctx context.Context) error {
	ctx, cancel := r.bound(ctx)
	defer cancel()
	return r.store(0).Put(ctx, Key(0, r.load.KeySize), r.stamp(probeTime))
}

// watchKeys is one watcher. It counts an error if it ends before it is told to.
func (r *run) watchKeys(ctx context.Context, i int) error {
	shard, there := r.record.shard(i), false
	err := r.store(i).Watch(ctx, keyPrefix, func(v []byte) {
		if len(v) < stampSize || int64(binary.LittleEndian.Uint64(v)) != r.watch.run {
			return // of another run
		}
		at := int64(binary.LittleEndian.Uint64(v[8:]))
		switch {
		case at != probeTime:
			shard.add(deliver, time.Since(r.watch.epoch)-time.Duration(at), "")
			r.watch.delivered.Add(1)
		case !there:
			there = true
			r.watch.ready.Add(1)
		}
	})
	if ctx.Err() == nil && there {
		shard.add(deliver, 0, "watch "+r.kindOf(err))
	}
	return err
}

// drainWatchers waits until the watchers were told everything, and counts what they were not
// told in time.
func (r *run) drainWatchers(ctx context.Context) {
	w := &r.watch
	missing := func() int64 { return w.written.Load()*int64(r.load.Watchers) - w.delivered.Load() }
	for end := time.Now().Add(drainTime); missing() > 0 && time.Now().Before(end); {
		if !sleep(ctx, drainPoll) {
			return // interrupted: nobody waits for them
		}
	}
	r.record.shard(0).fail(undelivered, missing())
}

func (r *run) stopWatchers() {
	r.watch.stop()
	r.watch.running.Wait()
}
