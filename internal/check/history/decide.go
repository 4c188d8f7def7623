package history

// place is a version of a key. Versions only grow here, so one Put at most gets there.
type place struct {
	key     string
	version uint64
}

// sighting is what is known to have been at a place, and from when on.
type sighting struct {
	value string
	time  int64
}

// decide returns the history without the doubts that its other operations settle, and
// how many doubts remain. A Put of unknown fate was executed if its value was seen
// where it would have put it, and then before that; it never was if another value was
// seen there. To leave it open would mean the same, but the checker would try both
// ways of each, in all combinations. No two Puts may have the same value.
func decide(ops []Op) (decided []Op, doubts int) {
	seen := sightings(ops)
	for _, op := range ops {
		if op.Outcome != Maybe {
			decided = append(decided, op)
			continue
		}
		there, known := seen[place{op.Key, op.Version + 1}]
		switch {
		case !known:
			doubts++
			decided = append(decided, op)
		case there.value == op.Value:
			op.Outcome, op.Return = OK, max(op.Call, there.time)
			decided = append(decided, op)
		}
	}
	return decided, doubts
}

// sightings collects what Gets and successful Puts say. If two of them contradict each
// other the check fails anyhow, since each is in the history.
func sightings(ops []Op) map[place]sighting {
	seen := make(map[place]sighting)
	for _, op := range ops {
		if op.Outcome != OK {
			continue
		}
		at := place{op.Key, op.made()}
		if before, ok := seen[at]; !ok || op.Return < before.time {
			seen[at] = sighting{op.Value, op.Return}
		}
	}
	return seen
}
