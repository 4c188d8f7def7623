package history

import "fmt"

// instantsPerNano is how many instants a nanosecond is divided into, so that events within
// one nanosecond can be ordered.
const instantsPerNano = 1 << 20

// postponeCalls returns the history with each call as late as the versions allow: a Get of
// version 5 is called after the Put that made it, and that Put after all calls of Gets that
// returned version 4. The order of the versions of a key is known. If there is no such order,
// it returns an error.
//
// The postponed history is linearizable if and only if the original is. But a checker that
// tries operations in the order of their calls finds the order at once. In the original order
// it may try all permutations of a Put, the Gets after it, and the refusals of the Puts that
// lost to it: twenty clients of one key take it too long.
func postponeCalls(ops []Op) ([]Op, error) {
	observed := observations(ops)
	begins := make(map[string][]int64)
	for key, size := range versions(ops) {
		begins[key] = beginnings(key, size, ops)
	}
	postponed := make([]Op, len(ops))
	for i, op := range ops {
		before, ok := observed[keyVersion{op.Key, op.Version}]
		known := ok && before.time <= op.Call || op.Version == 0
		op.Call *= instantsPerNano
		if v, ok := earliest(op, known); ok {
			op.Call = max(op.Call, begins[op.Key][v])
		}
		if op.Return != never {
			op.Return = op.Return*instantsPerNano + instantsPerNano - 1
		}
		if op.Call > op.Return {
			return nil, fmt.Errorf("no order contains %s", op)
		}
		postponed[i] = op
	}
	return postponed, nil
}

// versions returns for each key how many versions its operations mention, from 0 on.
func versions(ops []Op) map[string]uint64 {
	n := make(map[string]uint64)
	for _, op := range ops {
		n[op.Key] = max(n[op.Key], op.Version+2)
	}
	return n
}

// beginnings returns for each version of a key the earliest time at which it can have begun.
func beginnings(key string, size uint64, ops []Op) []int64 {
	begins := make([]int64, size)
	last := make([]int64, size) // the latest call that returned the version, or replaced it
	for _, op := range ops {
		if op.Key != key || op.Kind == Put && op.Outcome != OK {
			continue
		}
		last[op.Version] = max(last[op.Version], op.Call*instantsPerNano)
	}
	for v := uint64(1); v < size; v++ {
		begins[v] = max(begins[v-1], last[v-1]) + 1
	}
	return begins
}

// earliest returns the version of the key that must have begun when the operation is executed:
// the one that a Get returns or a Put makes. A refused Put comes after the Put that it lost
// to, if the version that it expects existed already when it was called (known). A Put of
// unknown outcome is executed or refused, so the same holds for it. Other refusals have no
// such version.
func earliest(op Op, known bool) (version uint64, ok bool) {
	return op.resultVersion(), op.Kind == Get || op.Outcome == OK || known
}
