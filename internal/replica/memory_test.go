package replica

import (
	"math"
	"testing"
)

// All that a server may hold at a time fits into its memory: the kernel ends who exceeds it, and all replicas hold about the same.
// 115 MiB are nine tenths of a control group of 128. An entry of a few bytes takes twice as much as it counts for, and its
// record in the history about what it counts for.
func TestTheBoundsTogetherFitTheMemory(t *testing.T) {
	for memory := int64(115 << 20); memory < 1<<40; memory += memory / 8 {
		b := boundsOf(memory)
		executed := max(3*b.raftState, b.pending)
		held := MostIndexBytes(memory) + 2*executed + 2*b.pending + executed + b.cache
		if held > memory {
			t.Errorf("%d MiB of memory: %d MiB are held: the index %d, %+v", memory>>20, held>>20, MostIndexBytes(memory)>>20, b)
		}
		if inOne := MostIndexBytes(memory) + 2*b.unwritten + b.cache; inOne > memory {
			t.Errorf("%d MiB of memory: %d MiB are held behind commands that delete or copy much", memory>>20, inOne>>20)
		}
	}
}

// Where there is much memory, or as much as one likes, nothing shrinks.
func TestTheBoundsOfMuchMemory(t *testing.T) {
	want := memoryBounds{raftState: 64 << 20, pending: 64 << 20, unwritten: 256 << 20, cache: 64 << 20}
	for _, memory := range []int64{0, 3 << 30, math.MaxInt64} {
		if got := boundsOf(memory); got != want {
			t.Errorf("of %d bytes: %+v, want %+v", memory, got, want)
		}
	}
}
