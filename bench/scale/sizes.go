package scale

import "time"

// sizes are how much is measured, and how long.
type sizes struct {
	rounds           int
	warmup, duration time.Duration // of each measurement

	callerCounts, valueBytes, keyCounts, nodeCounts, readCallers []int

	manyKeys int           // in the store while snapshots are taken and a follower catches up
	steady   time.Duration // of the measurements with and without snapshots
	phase    time.Duration // before and after a follower catches up
	raftKB   int           // size of log in KiB that makes a snapshot due, where many are wanted
	cutKB    int           // the same where a log is to be cut soon, but snapshots to be few; 0: the default
	events   int           // of each kind, in failover
}

var full = sizes{
	rounds: 3, warmup: 500 * time.Millisecond, duration: 4 * time.Second,
	callerCounts: []int{1, 10, 100, 1000, 4000},
	valueBytes:   []int{256, 1 << 10, 10 << 10, 100 << 10},
	keyCounts:    []int{10_000, 100_000, 1_000_000, 5_000_000},
	nodeCounts:   []int{1, 3, 5, 7},
	readCallers:  []int{1, 100, 1000},
	manyKeys:     1_000_000, steady: 15 * time.Second, phase: 8 * time.Second, raftKB: 8 << 10, events: 20,
}

var quick = sizes{
	rounds: 1, warmup: 100 * time.Millisecond, duration: 400 * time.Millisecond,
	callerCounts: []int{1, 100, 1000},
	valueBytes:   []int{256, 10 << 10},
	keyCounts:    []int{1000, 10_000},
	nodeCounts:   []int{1, 3, 5},
	readCallers:  []int{1, 100},
	manyKeys:     20_000, steady: 2 * time.Second, phase: 1500 * time.Millisecond, raftKB: 512, cutKB: 8 << 10, events: 2,
}

// What loads have in common, unless a series is about it.
const (
	fewKeys   = 10_000
	keySize   = 16
	valueSize = 256
	callers   = 100
	// manyCallers keep all servers busy.
	manyCallers = 1000
	members     = 3
)
