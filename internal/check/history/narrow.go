package history

import "fmt"

// fine is how many instants narrow makes of a nanosecond, to put in order what happened
// within one.
const fine = 1 << 20

// narrow returns the history with each operation called as late as its version allows:
// a Get of version 5 not before the Put that made it, and that Put not before every
// Get of version 4 was called. Which versions there were, and in what order, is known,
// and what no order allows is an error.
//
// The history means the same, but a checker that takes operations in the order of
// their calls finds its way at once. As they were called it may try all ways in which
// a Put that many others lose to, Gets, and the refusals of the losers can follow each
// other: twenty clients of one key kept it busy for ever.
func narrow(ops []Op) ([]Op, error) {
	seen := sightings(ops)
	begins := make(map[string][]int64)
	for key, size := range versions(ops) {
		begins[key] = beginnings(key, size, ops)
	}
	narrowed := make([]Op, len(ops))
	for i, op := range ops {
		before, ok := seen[place{op.Key, op.Version}]
		known := ok && before.time <= op.Call || op.Version == 0
		op.Call *= fine
		if v, ok := earliest(op, known); ok {
			op.Call = max(op.Call, begins[op.Key][v])
		}
		if op.Return != never {
			op.Return = op.Return*fine + fine - 1
		}
		if op.Call > op.Return {
			return nil, fmt.Errorf("no order has a place for %s", op)
		}
		narrowed[i] = op
	}
	return narrowed, nil
}

// versions tells for each key how many versions, from 0 on, its operations speak of.
func versions(ops []Op) map[string]uint64 {
	n := make(map[string]uint64)
	for _, op := range ops {
		n[op.Key] = max(n[op.Key], op.Version+2)
	}
	return n
}

// beginnings returns for each version of a key when it can have begun at the earliest.
func beginnings(key string, size uint64, ops []Op) []int64 {
	begins := make([]int64, size)
	last := make([]int64, size) // the latest call that saw the version, or ended it
	for _, op := range ops {
		if op.Key != key || op.Kind == Put && op.Outcome != OK {
			continue
		}
		last[op.Version] = max(last[op.Version], op.Call*fine)
	}
	for v := uint64(1); v < size; v++ {
		begins[v] = max(begins[v-1], last[v-1]) + 1
	}
	return begins
}

// earliest returns the version of the key which must have begun when the operation is
// executed: that which a Get sees or a Put makes. A refused Put comes no sooner than the
// one that it lost to, if the version it names was there already when it was called
// (known); one of unknown fate is either. Of other refusals nothing is said.
func earliest(op Op, known bool) (version uint64, ok bool) {
	return op.made(), op.Kind == Get || op.Outcome == OK || known
}
