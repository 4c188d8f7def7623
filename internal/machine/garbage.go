package machine

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// minGarbage is how many bytes may be allocated between two collections of garbage at least. Go's own
	// rule is as many as are in use, or 4 MiB: a server with little data would collect tens of times a second,
	// and look through the stacks of all goroutines each time.
	minGarbage = 64 << 20
	// roomyMemory is the memory in bytes from which on a process may have so much garbage.
	roomyMemory = 2 << 30
	// goPercent is Go's own rule, and maxPercent stands for minGarbage where the least that Go counts with is in use.
	goPercent  = 100
	maxPercent = 100 * minGarbage / (4 << 20)
)

// CollectSeldom has Go wait with the collection of garbage until there are 64 MiB of it, or as much as is in use. It does
// nothing on small machines and in small control groups, or if set says that GOGC has a rule already. The bounds on
// memory of Go and KeepBelowGroupLimit hold as before. stop brings the rule of before back.
func CollectSeldom(root string, set bool) (stop func()) {
	if set || MemoryLimit(root) < roomyMemory {
		return func() {}
	}
	c := &collections{percent: goPercent}
	before := debug.SetGCPercent(goPercent)
	c.adjust()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stopped = true
		debug.SetGCPercent(before)
	}
}

// collections adjusts Go's rule, which is in percent of what is in use, behind each collection.
type collections struct {
	mu      sync.Mutex
	percent int
	stopped bool
}

// ended is garbage at once: the next collection finds it.
type ended struct{ of *collections }

func (c *collections) adjust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	// A new rule stops all goroutines for a moment, so small differences are left.
	if p := percentOf(inUse()); p > c.percent+c.percent/8 || p < c.percent-c.percent/8 {
		c.percent = p
		debug.SetGCPercent(p)
	}
	runtime.AddCleanup(&ended{c}, (*collections).adjust, c)
}

// percentOf returns the rule by which minGarbage may come while so many bytes are in use.
func percentOf(live uint64) int {
	return int(max(goPercent, min(100*minGarbage/max(live, 1), maxPercent)))
}

// inUse is how many bytes the last collection has left.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
