package loadgen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errRefused = errors.New("refused")

// fake is a system whose operations take a time each, and fail as told.
type fake struct {
	mu         sync.Mutex
	puts, gets int
	takes      func(n int) time.Duration // by the number of operations before
	fails      func(n int) error
	keys       map[string]int
}

func (f *fake) do(ctx context.Context, key string, count *int) error {
	f.mu.Lock()
	n := f.puts + f.gets
	*count++
	if f.keys == nil {
		f.keys = map[string]int{}
	}
	f.keys[key]++
	f.mu.Unlock()
	if !sleep(ctx, f.takes(n)) {
		return ctx.Err()
	}
	if f.fails != nil {
		return f.fails(n)
	}
	return nil
}

func (f *fake) Put(ctx context.Context, key string, _ []byte) error { return f.do(ctx, key, &f.puts) }
func (f *fake) Get(ctx context.Context, key string) error           { return f.do(ctx, key, &f.gets) }

func always(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// runLoad runs a load in virtual time.
func runLoad(t *testing.T, ctx context.Context, g *Generator, change func(*Load)) *Report {
	t.Helper()
	l := validLoad()
	l.Ops = 0
	change(&l)
	report, err := g.Run(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// near tells whether a latency is what it should be, within a histogram's three digits.
func near(got, want time.Duration) bool { return (got - want).Abs() <= want/500 }

func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: always(10 * time.Millisecond)}
		g := &Generator{Systems: []System{f}}
		r := runLoad(t, t.Context(), g, func(l *Load) { l.Callers, l.Duration = 7, time.Second })
		if r.Puts == nil || r.Puts.Ops != 700 || r.Puts.PerSecond != 700 || r.Gets != nil || r.Elapsed != time.Second || f.puts != 700 {
			t.Errorf("report is %+v with puts %+v; the system had %d", r, r.Puts, f.puts)
		}
		if l := r.Puts.Latency; !near(l.P50, 10*time.Millisecond) || !near(l.Max, 10*time.Millisecond) || !near(l.Mean, 10*time.Millisecond) {
			t.Errorf("latencies are %+v", l)
		}
	})
}

func TestOpsBoundTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fake{takes: always(time.Millisecond)}, &fake{takes: always(time.Millisecond)}
		g := &Generator{Systems: []System{a, b}}
		r := runLoad(t, t.Context(), g, func(l *Load) { l.Callers, l.Ops, l.Distribution = 4, 1000, Sequential })
		if r.Ops() != 1000 || a.puts != 500 || b.puts != 500 || r.Elapsed != 250*time.Millisecond {
			t.Errorf("%d operations in %v; the systems had %d and %d", r.Ops(), r.Elapsed, a.puts, b.puts)
		}
		for k := range 10 {
			if n := a.keys[Key(k, 16)] + b.keys[Key(k, 16)]; n != 100 {
				t.Errorf("key %d came %d times", k, n)
			}
		}
	})
}

func TestMixedLoadIsReportedByOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: always(time.Millisecond)}
		r := runLoad(t, t.Context(), &Generator{Systems: []System{f}}, func(l *Load) { l.Ops, l.Reads = 1000, 0.5 })
		if r.Puts.Ops+r.Gets.Ops != 1000 || r.Puts.Ops != int64(f.puts) || r.Gets.Ops != int64(f.gets) || f.gets < 400 || f.gets > 600 {
			t.Errorf("%d puts, %d gets; the system had %d and %d", r.Puts.Ops, r.Gets.Ops, f.puts, f.gets)
		}
	})
}

func TestRateLimitsOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: always(time.Millisecond)}
		r := runLoad(t, t.Context(), &Generator{Systems: []System{f}}, func(l *Load) { l.Callers, l.Rate, l.Duration = 10, 100, 2*time.Second })
		if r.Puts.Ops != 200 || !near(r.Puts.Latency.Max, time.Millisecond) {
			t.Errorf("puts are %+v", r.Puts)
		}
	})
}

// With a rate, a stall counts for all operations that it kept waiting, not only for
// the one that met it.
func TestAppointedTimesDoNotMoveWithAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: func(n int) time.Duration {
			if n == 50 {
				return time.Second
			}
			return time.Microsecond
		}}
		r := runLoad(t, t.Context(), &Generator{Systems: []System{f}}, func(l *Load) { l.Rate, l.Duration = 100, 2*time.Second })
		// 100 of 200 appointments fell into the stall; on average they waited for half of it.
		if l := r.Puts.Latency; r.Puts.Ops != 200 || !near(l.Max, time.Second) || l.P90 < 700*time.Millisecond || l.P50 > 20*time.Millisecond {
			t.Errorf("puts are %+v", r.Puts)
		}
	})
}

func TestErrorsAreCountedByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: always(time.Millisecond), fails: func(n int) error {
			if n%4 == 0 {
				return errRefused
			}
			return nil
		}}
		g := &Generator{Systems: []System{f}, Classify: func(err error) string { return "by " + err.Error() }}
		r := runLoad(t, t.Context(), g, func(l *Load) { l.Ops = 100 })
		// A caller pauses after an error.
		if r.Puts.Ops != 75 || r.Failed() != 25 || r.Errors["by refused"] != 25 || r.Elapsed != 100*time.Millisecond+25*errorPause {
			t.Errorf("report is %+v with puts %+v", r, r.Puts)
		}
	})
}

func TestTimeoutEndsAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: always(time.Hour)}
		g := &Generator{Systems: []System{f}, Classify: func(err error) string {
			if errors.Is(err, context.DeadlineExceeded) {
				return "timeout"
			}
			return "other"
		}}
		r := runLoad(t, t.Context(), g, func(l *Load) { l.Ops, l.Timeout = 3, time.Second })
		if r.Ops() != 0 || r.Puts != nil || r.Errors["timeout"] != 3 || r.Interrupted {
			t.Errorf("report is %+v", r)
		}
	})
}

func TestInterruptionReportsWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second+time.Millisecond, cancel)
		f := &fake{takes: always(100 * time.Millisecond)}
		r := runLoad(t, ctx, &Generator{Systems: []System{f}}, func(l *Load) { l.Callers, l.Duration = 3, time.Hour })
		if !r.Interrupted || r.Ops() != 30 || r.Failed() != 0 || r.Elapsed != time.Second+time.Millisecond {
			t.Errorf("report is %+v with puts %+v", r, r.Puts)
		}
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []Progress
		f := &fake{takes: always(10 * time.Millisecond), fails: func(n int) error {
			if n == 5 {
				return errRefused
			}
			return nil
		}}
		g := &Generator{Systems: []System{f}, Observe: func(p Progress) { seen = append(seen, p) }}
		r := runLoad(t, t.Context(), g, func(l *Load) { l.Callers, l.Duration = 2, 2505*time.Millisecond })
		if len(seen) != 2 || seen[0].Done+seen[1].Ops != seen[1].Done || seen[1].Failed != 1 {
			t.Fatalf("progress was %+v", seen)
		}
		last := seen[1]
		if last.Elapsed != 2*time.Second || last.Since != time.Second || !near(last.P50, 10*time.Millisecond) || !near(last.P99, 10*time.Millisecond) {
			t.Errorf("progress ends with %+v", last)
		}
		if r.Ops() <= last.Done || r.Ops() > last.Done+200 || r.Failed() != 1 {
			t.Errorf("%d operations are reported, and %d errors, after %+v", r.Ops(), r.Failed(), last)
		}
	})
}

func TestRunWithoutSystemsIsAnError(t *testing.T) {
	if _, err := (&Generator{}).Run(t.Context(), validLoad()); err == nil {
		t.Error("no error")
	}
	if _, err := (&Generator{Systems: []System{&fake{}}}).Run(t.Context(), Load{}); err == nil {
		t.Error("no error for an empty load")
	}
}

func TestReportAsText(t *testing.T) {
	rec := newRecorder()
	for i := range 1000 {
		took := 1500 * time.Microsecond
		if i%10 == 0 {
			took = 30 * time.Millisecond
		}
		rec.shard(i).add(put, took, "")
	}
	rec.shard(0).add(put, 0, "maybe")
	rec.shard(1).add(get, 0, "busy")
	r := rec.report(validLoad(), 2*time.Second, true)
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `puts  1,000 in 2.00 s, 500/s
  p50 1.50 ms  p90 1.50 ms  p99 30.0 ms  p99.9 30.0 ms  max 30.0 ms

     ≤ 2ms  ████████████████████████████████████████  90.00%
     ≤ 5ms                                            90.00%
    ≤ 10ms                                            90.00%
    ≤ 20ms                                            90.00%
    ≤ 50ms  ████▌                                    100.00%

errors  busy 1  maybe 1
interrupted before its end
`
	if got := b.String(); got != want {
		t.Errorf("report is\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	if err := newRecorder().report(validLoad(), time.Second, false).WriteText(&b); err != nil || b.String() != "no operation succeeded in 1.00 s\n" {
		t.Errorf("an empty report is %q, %v", b.String(), err)
	}
}

func TestReportAsJSONComesBack(t *testing.T) {
	rec := newRecorder()
	rec.shard(0).add(get, 3*time.Millisecond, "")
	r := rec.report(validLoad(), time.Second, false)
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"p99_ns":3000`) || strings.Contains(string(data), `"puts"`) {
		t.Errorf("JSON is %s", data)
	}
	var back Report
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	r.Gets.histogram = nil
	if !reflect.DeepEqual(*r, back) {
		t.Errorf("came back as %+v, was %+v", back, *r)
	}
}

func TestLatenciesBeyondTheHistogramCountAsItsEnd(t *testing.T) {
	rec := newRecorder()
	rec.shard(0).add(put, -time.Second, "")
	rec.shard(0).add(put, 24*time.Hour, "")
	if s := rec.report(validLoad(), time.Second, false).Puts; s.Ops != 2 || !near(s.Latency.Max, longest) || s.Latency.P50 > lowestLatency {
		t.Errorf("puts are %+v", s)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.00 µs", 850: "0.85 µs", 12_340: "12.3 µs", 999_400: "999 µs", 999_600: "1.00 ms", 1_234_567: "1.23 ms",
		99_960 * time.Microsecond: "100 ms", 999_700 * time.Microsecond: "1.00 s", 61 * time.Second: "61.0 s",
	} {
		if got := Round(d); got != want {
			t.Errorf("%d is rounded to %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := Thousands(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}
