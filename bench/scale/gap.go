package scale

import (
	"slices"
	"sync"
	"time"
)

// call is one put that was acknowledged.
type call struct{ begin, end time.Time }

// calls are in the order of their ends.
type calls struct {
	mu  sync.Mutex
	all []call
}

func (c *calls) add(begin, end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, call{begin, end})
	for i := len(c.all) - 1; i > 0 && c.all[i].end.Before(c.all[i-1].end); i-- {
		c.all[i], c.all[i-1] = c.all[i-1], c.all[i] // two callers overtook each other on the way here
	}
}

// last is when a put was acknowledged last.
func (c *calls) last() (end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) > 0 {
		end = c.all[len(c.all)-1].end
	}
	return end
}

// take returns the calls so far, and forgets all but the last.
func (c *calls) take() []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.all
	c.all = slices.Clone(taken[max(0, len(taken)-1):])
	return taken
}

// longestGap is the longest time without an acknowledgement that reaches into the
// time from an event on; false if nothing was acknowledged before or after it.
func longestGap(all []call, event time.Time) (longest time.Duration, ok bool) {
	for i := 1; i < len(all); i++ {
		if all[i].end.After(event) {
			longest, ok = max(longest, all[i].end.Sub(all[i-1].end)), true
		}
	}
	return longest, ok
}

// longestCall is the longest put that was in progress at an event or later.
func longestCall(all []call, event time.Time) (longest time.Duration) {
	for _, c := range all {
		if c.end.After(event) {
			longest = max(longest, c.end.Sub(c.begin))
		}
	}
	return longest
}

// tick is what was done in a short time.
type tick struct {
	end  time.Time
	took time.Duration
	ops  int64
}

// rateBetween is the operations per second of the ticks that lie between two times;
// false if there are none.
func rateBetween(ticks []tick, from, to time.Time) (perSecond float64, ok bool) {
	var took time.Duration
	var ops int64
	for _, t := range ticks {
		if !t.end.Add(-t.took).Before(from) && !t.end.After(to) {
			took, ops = took+t.took, ops+t.ops
		}
	}
	if took <= 0 {
		return 0, false
	}
	return float64(ops) / took.Seconds(), true
}
