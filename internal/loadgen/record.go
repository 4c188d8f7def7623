package loadgen

import (
	"maps"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// kind is what is measured: the operations of the callers, and what goes with them.
type kind int

const (
	put kind = iota
	get
	txn
	update
	ranges
	keepAlive
	grant   // of the leases, before callers begin
	deliver // a value to a watcher
	kinds

	callerKinds = grant // those below are operations of callers
)

// writes tells whether an operation sets a key, of which watchers are told.
func (k kind) writes() bool { return k == put || k == txn || k == update }

// The histograms hold nanoseconds from under a microsecond to ten minutes, to three
// digits. A longer time counts as ten minutes.
const (
	lowestLatency = time.Microsecond
	longest       = 10 * time.Minute
	digits        = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(lowestLatency), int64(longest), digits)
}

// numShards is so high that callers on a few processors seldom contend for one shard, and so
// low that a thousand callers do not take a thousand histograms.
const numShards = 8

// recorder counts operations.
type recorder struct {
	shards [numShards]shard

	mu    sync.Mutex // only collect holds it together with a shard's
	total tally      // what collect has moved out of the shards
}

// shard counts the operations of some callers.
type shard struct {
	mu sync.Mutex
	tally
}

type tally struct {
	latency [kinds]*hdrhistogram.Histogram // nil: none
	errors  map[string]int64
}

func newTally() tally { return tally{errors: map[string]int64{}} }

// of returns the histogram of a kind.
func (t *tally) of(k kind) *hdrhistogram.Histogram {
	if t.latency[k] == nil {
		t.latency[k] = newHistogram()
	}
	return t.latency[k]
}

func newRecorder() *recorder {
	r := &recorder{total: newTally()}
	for i := range r.shards {
		r.shards[i].tally = newTally()
	}
	return r
}

func (r *recorder) shard(caller int) *shard { return &r.shards[caller%numShards] }

// add counts an operation that took so long, or failed with an error of a kind.
func (s *shard) add(k kind, took time.Duration, failure string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if failure != "" {
		s.errors[failure]++
		return
	}
	// It cannot fail: the value is within the histogram's bounds.
	_ = s.of(k).RecordValue(int64(min(max(took, 0), longest)))
}

// fail counts n errors of a kind.
func (s *shard) fail(kind string, n int64) {
	if n <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors[kind] += n
}

// collect moves the counts of the shards to the total, and returns their latencies, of the
// callers' operations.
func (r *recorder) collect() *hdrhistogram.Histogram {
	recent := newHistogram()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for k, h := range s.latency {
			if h == nil {
				continue
			}
			r.total.of(kind(k)).Merge(h)
			if kind(k) < callerKinds {
				recent.Merge(h)
			}
			h.Reset()
		}
		for name, n := range s.errors {
			r.total.errors[name] += n
		}
		clear(s.errors)
		s.mu.Unlock()
	}
	return recent
}

func (r *recorder) progress(elapsed, since time.Duration) Progress {
	recent := r.collect()
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{
		Elapsed: elapsed, Since: since, Ops: recent.TotalCount(),
		P50: time.Duration(recent.ValueAtQuantile(50)), P99: time.Duration(recent.ValueAtQuantile(99)),
	}
	for _, h := range r.total.latency[:callerKinds] {
		if h != nil {
			p.Done += h.TotalCount()
		}
	}
	for _, n := range r.total.errors {
		p.Failed += n
	}
	return p
}

func (r *recorder) report(load Load, elapsed time.Duration, interrupted bool) *Report {
	r.collect()
	r.mu.Lock()
	defer r.mu.Unlock()
	report := &Report{Load: load, Elapsed: elapsed, Interrupted: interrupted, Errors: maps.Clone(r.total.errors)}
	for k, part := range report.parts() {
		*part.summary = summarize(r.total.latency[k], elapsed)
	}
	return report
}
