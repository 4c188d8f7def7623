package scale

import (
	"slices"
	"sync"
	"testing"
	"time"
)

var zero = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }

// acknowledged are calls of 5 ms that end at these times.
func acknowledged(ends ...int) (all []call) {
	for _, end := range ends {
		all = append(all, call{at(end - 5), at(end)})
	}
	return all
}

func TestLongestGap(t *testing.T) {
	for _, test := range []struct {
		name  string
		ends  []int
		event int
		want  time.Duration
		ok    bool
	}{
		{"reaches over the event", []int{0, 10, 90, 95}, 20, 80 * time.Millisecond, true},
		{"is after the event", []int{0, 10, 20, 150, 155}, 15, 130 * time.Millisecond, true},
		{"what was before does not count", []int{0, 500, 510, 530}, 505, 20 * time.Millisecond, true},
		{"one that ends at the event is before", []int{0, 500, 510}, 500, 10 * time.Millisecond, true},
		{"nothing after", []int{0, 10}, 20, 0, false},
		{"nothing before", []int{30}, 20, 0, false},
		{"nothing", nil, 20, 0, false},
	} {
		if got, ok := longestGap(acknowledged(test.ends...), at(test.event)); got != test.want || ok != test.ok {
			t.Errorf("%s: %v, %v", test.name, got, ok)
		}
	}
}

func TestLongestCall(t *testing.T) {
	all := []call{{at(0), at(400)}, {at(390), at(410)}, {at(405), at(408)}}
	if got := longestCall(all, at(400)); got != 20*time.Millisecond {
		t.Errorf("longest after all others: %v", got)
	}
	if got := longestCall(all, at(399)); got != 400*time.Millisecond {
		t.Errorf("longest in progress: %v", got)
	}
}

func TestCallsAreInTheOrderOfTheirEnds(t *testing.T) {
	var c calls
	if !c.last().IsZero() || len(c.take()) != 0 {
		t.Error("there is something in nothing")
	}
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Go(func() {
			for n := range 50 {
				c.add(at(0), at(n*4+i))
			}
		})
	}
	callers.Wait()
	if c.last() != at(199) {
		t.Errorf("the last is at %v", c.last())
	}
	all := c.take()
	if len(all) != 200 || !slices.IsSortedFunc(all, func(a, b call) int { return a.end.Compare(b.end) }) {
		t.Errorf("%d calls: %v", len(all), all)
	}
	c.add(at(200), at(300))
	if rest := c.take(); len(rest) != 2 || rest[0] != all[199] || len(all) != 200 {
		t.Errorf("then %v", rest)
	}
}

func TestRateBetween(t *testing.T) {
	var ticks []tick
	for i, ops := range []int64{100, 200, 300, 400} {
		ticks = append(ticks, tick{at(100 * (i + 1)), 100 * time.Millisecond, ops})
	}
	for _, test := range []struct {
		from, to int
		want     float64
		ok       bool
	}{{0, 400, 2500, true}, {100, 300, 2500, true}, {50, 350, 2500, true}, {0, 100, 1000, true}, {350, 500, 0, false}, {120, 180, 0, false}} {
		if got, ok := rateBetween(ticks, at(test.from), at(test.to)); got != test.want || ok != test.ok {
			t.Errorf("from %d to %d: %v, %v", test.from, test.to, got, ok)
		}
	}
}

func TestThroughputHasFewPoints(t *testing.T) {
	for ticks, points := range map[int]int{0: 0, 7: 7, 100: 100, 101: 50, 1000: 100} {
		var all []tick
		for i := range ticks {
			all = append(all, tick{at(100 * (i + 1)), 100 * time.Millisecond, 50})
		}
		traces := throughput(all, []phase{{"whole", at(0), at(100 * ticks)}})
		if len(traces) != 1 || len(traces[0].Values) != points || slices.ContainsFunc(traces[0].Values, func(v float64) bool { return v < 499 || v > 501 }) {
			t.Errorf("%d ticks are %v", ticks, traces)
		}
		if ticks == 1000 && traces[0].Step != 1 {
			t.Errorf("a step of ten ticks is %v s", traces[0].Step)
		}
	}
}

func TestThroughputOfPhases(t *testing.T) {
	var all []tick
	for i := range 5 {
		all = append(all, tick{at(100 * (i + 1)), 100 * time.Millisecond, int64(10 * (i + 1))})
	}
	traces := throughput(all, []phase{{"first", at(0), at(230)}, {"second", at(270), at(500)}})
	if len(traces) != 2 || traces[0].Line != "first" || !slices.Equal(traces[0].Values, []float64{100, 200, 0, 0, 0}) || !slices.Equal(traces[1].Values, []float64{0, 0, 0, 400, 500}) {
		t.Errorf("%+v", traces)
	}
}
