package clerk

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSequenceIsWhatASetWouldBe compares a sequence with a set of numbers, and looks at its
// bound.
func TestSequenceIsWhatASetWouldBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sequence
		open := map[uint64]bool{}
		last := uint64(0)
		for range rapid.IntRange(1, 20).Draw(t, "rounds") {
			for range rapid.IntRange(0, 400).Draw(t, "next") {
				n := s.next()
				if n == 0 {
					if oldest := last - maxOutstanding + 1; !open[oldest] {
						t.Fatalf("no number after %d, although %d is settled", last, oldest)
					}
					break
				}
				if last++; n != last {
					t.Fatalf("got %d, want %d", n, last)
				}
				open[n] = true
			}
			sparse := rapid.Uint64Range(2, 50).Draw(t, "sparse")
			offset := rapid.Uint64Range(0, sparse-1).Draw(t, "offset")
			for n := uint64(0); n <= last+1; n++ {
				if n%sparse == offset {
					continue
				}
				before := s.acked
				if moved := s.settle(n); moved != (s.acked > before) {
					t.Fatalf("settle(%d) says %v, acked went from %d to %d", n, moved, before, s.acked)
				}
				delete(open, n)
			}
			want := last
			for n := range open {
				want = min(want, n-1)
			}
			if s.acked != want || s.last-s.acked > maxOutstanding {
				t.Fatalf("acked %d, want %d; last is %d", s.acked, want, s.last)
			}
		}
	})
}
