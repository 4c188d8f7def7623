package state

// leisure says how much a rewrite rests. All members compact at the same revision, and so rewrite at the same time: a majority
// is busy with it, and commands wait for its processors. So a rewrite rests far longer than it works, and less only where
// there is more and more garbage all the same.
type leisure struct {
	rests  int   // how many times as long as it works; 0: there was no rewrite yet
	excess int64 // bytes of garbage beyond what is tolerable, at the last rewrite
}

const (
	// mostRests leaves a rewrite a ninth of the time: it reads 35 MB/s where it could read 300.
	mostRests = 8
	// tolerable times the records that are alive, and two runs, are no reason to hurry.
	tolerable    = 1.4
	tolerableToo = 64 << 20
)

// historySize is how many bytes of records all runs have, and how many of them are alive.
type historySize struct{ all, left int64 }

// next returns how many times as long as it works the next rewrite rests.
func (l *leisure) next(size historySize) int {
	excess := max(0, size.all-tolerableToo-int64(tolerable*float64(size.left)))
	switch {
	case l.rests == 0 || excess == 0:
		l.rests = mostRests
	case excess > l.excess:
		l.rests = max(l.rests/2, 1)
	default:
		l.rests = min(l.rests*2, mostRests)
	}
	l.excess = excess
	return l.rests
}
