package sim

import (
	"errors"
	"fmt"
	"slices"

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
	if fs := n.disk.files; fs != nil { // the checker's own reads do not fail
		defer func(fault int) { fs.readFaultIn = fault }(fs.readFaultIn)
		fs.readFaultIn = -1
	}
	now := n.machine.Revision()
	oldest := uint64(1)
	switch m := n.machine.(type) {
	case *state.Machine:
		oldest = max(oldest, m.Compacted())
		if err := k.scan(m); err != nil && n.disk.excuses(err) && n.disk.isRotten() {
			return
		} else if err != nil {
			k.w.failf("content", "%s, of %d to %d: %v", n.id, oldest, now, err)
		}
	case withSnapshots:
		oldest = max(oldest, m.m.Compacted())
	}
	for _, at := range []uint64{now, oldest, oldest + k.w.rand.Uint64N(now-oldest+1)} {
		got, err := n.machine.Range(kv.RangeOp{Revision: at})
		if err != nil && n.disk.excuses(err) && n.disk.isRotten() {
			return
		}
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

// scan checks the history that a machine has: all events since the last compaction. The error is
// errUnreadable if the disk is damaged.
func (k *checker) scan(m *state.Machine) (err error) {
	next, at := max(m.Compacted(), 2), m.Revision()
	failed := m.Scan(next, func(revision uint64, events []kv.Event) bool {
		want := slices.Clone(k.truth.Events(revision))
		for i := range want {
			want[i].Prev = nil
		}
		if d := naive.DifferEvents(events, want); d != "" || revision != next {
			err = fmt.Errorf("revision %d in the history, want %d: %s", revision, next, d)
		}
		next++
		return err == nil
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return fmt.Errorf("%w: %w", errUnreadable, failed)
	case next <= at:
		return fmt.Errorf("the history ends before revision %d, and the state is at %d", next, at)
	}
	return nil
}

var errUnreadable = errors.New("the history cannot be read")
