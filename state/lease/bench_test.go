package lease_test

import (
	"fmt"
	"io"
	"testing"

	"balsa.example/state/lease"
	"balsa.example/state/logtime"
)

const benchLeases = 100_000

// benchID spreads ids over all numbers.
func benchID(i int) int64 { return int64(uint64(i+1) * 0x9e3779b97f4a7c15 >> 1) }

func benchTable(b *testing.B, leases int) (*lease.Table, []int64) {
	b.Helper()
	table, ids := newTable(b, lease.DefaultLimits()), make([]int64, leases)
	for i := range ids {
		ids[i] = benchID(i)
		if err := table.Grant(ids[i], 9*second, false); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	return table, ids
}

func BenchmarkGrantAndRevoke(b *testing.B) {
	table, ids := benchTable(b, benchLeases)
	for i := range b.N {
		id := ids[i%len(ids)]
		table.Revoke(id)
		table.Grant(id, 9*second, false)
	}
}

// BenchmarkKeepAlive is of 100,000 leases that are kept alive each 3 s, with a Tick each 125 ms:
// what the heap costs later is in it.
func BenchmarkKeepAlive(b *testing.B) {
	table, ids := benchTable(b, benchLeases)
	const batch = benchLeases / 24
	var remaining []int64
	now := logtime.Time(0)
	for i := 0; i < b.N; i += batch {
		at := i % (benchLeases - batch)
		remaining = table.KeepAlive(ids[at:at+batch], remaining[:0])
		now += 125e6
		table.Advance(logtime.Stamp{Log: now})
		table.Expire(now-6e9, 1000)
		if table.Len() != benchLeases {
			b.Fatal("leases expired")
		}
	}
}

// BenchmarkKeepAliveAfterImage copies each page.
func BenchmarkKeepAliveAfterImage(b *testing.B) {
	table, ids := benchTable(b, benchLeases)
	var remaining []int64
	for i := 0; i < b.N; i += len(ids) {
		table.Image()
		remaining = table.KeepAlive(ids, remaining[:0])
	}
}

func BenchmarkImage(b *testing.B) {
	for _, leases := range []int{benchLeases, 1_000_000} {
		b.Run(fmt.Sprint(leases), func(b *testing.B) {
			table, _ := benchTable(b, leases)
			for range b.N {
				table.Image()
			}
		})
	}
}

func BenchmarkImageWriteTo(b *testing.B) {
	table, _ := benchTable(b, benchLeases)
	for range b.N {
		table.Image().WriteTo(io.Discard)
	}
}

// BenchmarkExpire is the expiry of 100,000 leases at once, with a key each, in steps of 1,000.
func BenchmarkExpire(b *testing.B) {
	for range b.N {
		b.StopTimer()
		table, ids := benchTable(b, benchLeases)
		for i, id := range ids {
			attach(b, table, id, fmt.Sprint("key-", i))
		}
		at(table, 9)
		b.StartTimer()
		for len(table.Expire(table.Stamp().Log, 1000)) > 0 {
		}
	}
}

func BenchmarkAttach(b *testing.B) {
	for _, keys := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			table := newTable(b, lease.DefaultLimits())
			grant(b, table, 1, 9)
			names := make([]string, keys)
			for i := range names {
				names[i] = fmt.Sprintf("key-%016x", benchID(i))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if i%(2*keys) < keys {
					table.Attach(1, names[i%keys])
				} else {
					table.Detach(1, names[i%keys])
				}
			}
		})
	}
}

func BenchmarkCommandOfASession(b *testing.B) {
	table := sessionTable(b, lease.DefaultLimits(), 1000)
	b.ReportAllocs()
	result := make([]byte, 30)
	for i := range b.N {
		a := lease.SessionSeq{ID: int64(i%1000) + 1, Seq: uint64(i/1000) + 1}
		a.Acked = a.Seq - min(a.Seq, 5)
		if a.Acked == a.Seq {
			a.Acked = 0
		}
		if verdict, _ := table.Begin(a); verdict == lease.Execute {
			table.Finish(a, 1, 1, result)
		}
	}
}
