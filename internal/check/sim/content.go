package sim

import (
	"balsa.example/internal/check/naive"
	"balsa.example/kv"
	"balsa.example/state"
)

// content checks that a node can read what the truth has, now and at all revisions that are left.
// A hash compares replicas with each other; this compares them with the truth.
func (k *checker) content(n *node) {
	if k.w.diverging != nil {
		return
	}
	now := n.machine.Revision()
	oldest := uint64(1)
	switch m := n.machine.(type) {
	case *state.Machine:
		oldest = max(oldest, m.Figures().Compacted)
	case withSnapshots:
		oldest = max(oldest, m.m.Compacted())
	}
	for _, at := range []uint64{now, oldest, oldest + k.w.rand.Uint64N(now-oldest+1)} {
		got, err := n.machine.Range(kv.RangeOp{Revision: at})
		if err != nil {
			k.w.failf("content", "%s cannot read at %d, of %d to %d: %v", n.id, at, oldest, now, err)
		}
		entries := k.truth.At(at)
		want := kv.RangeResult{Entries: entries, Count: int64(len(entries)), Revision: now}
		if d := naive.DifferRange(got, want); d != "" {
			k.w.failf("content", "%s at %d, of %d to %d: %s", n.id, at, oldest, now, d)
		}
	}
}
