package logtime_test

import (
	"testing"

	"balsa.example/state/lease"
	"balsa.example/state/logtime"
)

// BenchmarkKeepAlive is a keep-alive's way through a Timekeeper and a table, without the log
// between: 100,000 leases, 10,000 keep-alives in a Tick.
func BenchmarkKeepAlive(b *testing.B) {
	const leases, batch = 100_000, 10_000
	table, err := lease.NewTable(lease.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	id := func(i int) int64 { return int64(uint64(i%leases+1) * 0x9e3779b97f4a7c15 >> 1) }
	for i := range leases {
		table.Grant(id(i), 9*second, false)
	}
	k := logtime.NewTimekeeper[int](logtime.Config{ElectionTimeout: electionTimeout, MaxKeepAlives: 1 << 16})
	k.BecameLeader(0, logtime.View{})
	now, answered := logtime.Instant(0), 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k.KeepAlive(id(i), i)
		if i%batch != batch-1 {
			continue
		}
		now += 50 * ms
		e := k.Turn(now, 0, logtime.View{Now: table.Stamp().Log, Running: true})
		for _, a := range e.Answers {
			answered += len(a.Tokens)
		}
		table.Advance(e.Propose.Stamp)
		remaining := table.KeepAlive(e.Propose.Leases, nil)
		table.Expire(e.Propose.Stamp.Log, 1000)
		k.Done(now, e.Propose.Number, remaining, nil)
	}
	if table.Len() != leases {
		b.Errorf("%d leases are left", table.Len())
	}
}
