package rsm

import (
	"testing"

	"balsa.example/raft"
)

func TestMarksAreBounded(t *testing.T) {
	var m marks
	for i := range raft.Index(3 * maxMarks) {
		m.reach(10*i, raft.Instant(i))
	}
	if len(m.ring) != maxMarks {
		t.Fatalf("%d marks, want %d", len(m.ring), maxMarks)
	}
	const oldest, newest = 2 * maxMarks, 3*maxMarks - 1
	for _, c := range []struct {
		index raft.Index
		at    raft.Instant
		ok    bool
	}{
		{0, 0, false},
		{10 * oldest, 0, false}, // it may have come long before
		{10*oldest + 1, oldest + 1, true},
		{10*oldest + 10, oldest + 1, true},
		{10*newest - 5, newest, true},
		{10 * newest, newest, true},
		{10*newest + 1, 0, false},
	} {
		if at, ok := m.when(c.index); at != c.at || ok != c.ok {
			t.Errorf("entry %d came at %d, %t; want %d, %t", c.index, at, ok, c.at, c.ok)
		}
	}
}

// TestEntriesThatComeAgainHaveTheirNewTimes: a new leader has cut the log of a follower.
func TestEntriesThatComeAgainHaveTheirNewTimes(t *testing.T) {
	var m marks
	m.reach(1, 1)
	m.reach(10, 2)
	m.reach(20, 3)
	m.reach(12, 4) // those behind 12 are gone
	m.reach(12, 5)
	m.reach(20, 6)
	for index, want := range map[raft.Index]raft.Instant{2: 2, 10: 2, 11: 3, 12: 3, 13: 6, 20: 6} {
		if at, ok := m.when(index); !ok || at != want {
			t.Errorf("entry %d came at %d, %t; want %d", index, at, ok, want)
		}
	}
}

func BenchmarkMarks(b *testing.B) {
	var m marks
	b.ReportAllocs()
	for i := range b.N {
		m.reach(raft.Index(i), raft.Instant(i))
	}
}
