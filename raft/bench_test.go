package raft

import (
	"fmt"
	"testing"
)

// BenchmarkLeader measures one turn of a leader with two followers: proposals, the
// answers to what they send, and the effects, with disk and state machine at once.
// It has all of the leader's own work for so many operations, and nothing else.
func BenchmarkLeader(b *testing.B) {
	for _, batch := range []int{1, 16, 256} {
		for _, size := range []int{16, 1024} {
			b.Run(fmt.Sprintf("batch=%d/size=%d", batch, size), func(b *testing.B) { benchmarkLeader(b, batch, size) })
		}
	}
}

func benchmarkLeader(b *testing.B, batch, size int) {
	r := elect(b, newCore(b, 1, 3, State{}))
	data := make([]byte, size)
	acks := [2]AppendEntriesReply{}
	answer := func() {
		for i := range acks {
			acks[i] = AppendEntriesReply{Header: Header{From: NodeID(2 + i), To: 1, Term: r.term}, Match: r.log.last(), Round: r.leader.round}
			step(b, r, &acks[i])
		}
	}
	turn := func() {
		e := r.Effects()
		if e.Persist != nil {
			r.Persisted(e.Persist.Seq)
		}
		if n := len(e.Committed); n > 0 {
			r.Applied(e.Committed[n-1].Index)
		}
	}
	answer()
	turn()
	b.ReportAllocs()
	ops := 0
	for b.Loop() {
		for range batch {
			if _, err := r.Propose(data); err != nil {
				b.Fatal(err)
			}
		}
		turn() // write and send
		answer()
		turn() // apply
		ops += batch
		if r.applied > r.log.base+10_000 {
			r.Compact(r.applied - 1000)
		}
	}
	if int(r.applied) < ops {
		b.Fatalf("applied %d of %d", r.applied, ops)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(ops), "ns/entry")
}

// BenchmarkFollower measures one append of a batch at a follower, with its write.
func BenchmarkFollower(b *testing.B) {
	for _, batch := range []int{1, 256} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			r := newCore(b, 2, 3, State{HardState: HardState{Term: 1}})
			settle(r)
			entries := make([]Entry, batch)
			b.ReportAllocs()
			for b.Loop() {
				last := r.log.last()
				for i := range entries {
					entries[i] = Entry{Term: 1, Index: last + 1 + Index(i), Kind: EntryCommand}
				}
				m := AppendEntries{Header: Header{From: 1, To: 2, Term: 1}, PrevIndex: last, PrevTerm: r.log.lastTerm(), Entries: entries, Commit: last}
				step(b, r, &m)
				settle(r)
				if r.applied > r.log.base+10_000 {
					r.Compact(r.applied - 1000)
				}
			}
		})
	}
}

// BenchmarkReadIndex measures reads that share a round.
func BenchmarkReadIndex(b *testing.B) {
	r := elect(b, newCore(b, 1, 3, State{}))
	answer := func() {
		for id := NodeID(2); id <= 3; id++ {
			step(b, r, &AppendEntriesReply{Header: Header{From: id, To: 1, Term: r.term}, Match: r.log.last(), Round: r.leader.round})
		}
	}
	answer()
	settle(r)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.ReadIndex(1, ReadByIndex); err != nil {
			b.Fatal(err)
		}
		r.Effects()
		answer()
		if e := r.Effects(); len(e.Reads) != 1 || !e.Reads[0].OK {
			b.Fatalf("reads %v", e.Reads)
		}
	}
}
