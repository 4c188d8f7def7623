package history

// keyVersion is a version of a key. Keys are not deleted here, so one Put at most makes it.
type keyVersion struct {
	key     string
	version uint64
}

// observation is the value of a version of a key, and when it was first observed.
type observation struct {
	value string
	time  int64
}

// resolveMaybes returns the history without the Maybes whose outcome follows from other
// operations, and how many Maybes remain. A Put of unknown outcome was executed if its value
// was observed at the version that it would make, and then before that. It was never executed
// if another value was observed at that version. The checker would find the same, but would
// try both outcomes of each Maybe, in all combinations. No two Puts may have the same value.
func resolveMaybes(ops []Op) (resolved []Op, maybes int) {
	observed := observations(ops)
	for _, op := range ops {
		if op.Outcome != Maybe {
			resolved = append(resolved, op)
			continue
		}
		o, known := observed[keyVersion{op.Key, op.Version + 1}]
		switch {
		case !known:
			maybes++
			resolved = append(resolved, op)
		case o.value == op.Value:
			op.Outcome, op.Return = OK, max(op.Call, o.time)
			resolved = append(resolved, op)
		}
	}
	return resolved, maybes
}

// observations collects what Gets and successful Puts have observed. If two of them
// contradict each other, the check fails later, since both are in the history.
func observations(ops []Op) map[keyVersion]observation {
	observed := make(map[keyVersion]observation)
	for _, op := range ops {
		if op.Outcome != OK {
			continue
		}
		v := keyVersion{op.Key, op.resultVersion()}
		if before, ok := observed[v]; !ok || op.Return < before.time {
			observed[v] = observation{op.Value, op.Return}
		}
	}
	return observed
}
