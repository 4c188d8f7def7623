package state

// rests is how many times as long as it works something rests that can wait; 0: it was not done yet. Commands wait for
// the processors and the disk that it uses, so it rests far longer than it works, and less only where it does not get on
// fast enough.
type rests int

// mostRests leaves what rests so long a ninth of the time: a rewrite reads 35 MB/s where it could read 300.
const mostRests = 8

// next changes how long it rests, and returns that.
func (r *rests) next(hurry bool) int {
	switch {
	case *r == 0:
		*r = mostRests
	case hurry:
		*r = max(*r/2, 1)
	default:
		*r = min(*r*2, mostRests)
	}
	return int(*r)
}

// flushes says how much a checkpoint rests while it writes history: less where much comes meanwhile, so that the log is not
// full by then. The last third of its bound is for what comes in bursts: there nothing rests (see rsm.Expediter).
type flushes struct {
	rests  rests
	behind bool // too much came during the last one
}

// noHurry is how many bytes of history that come during a checkpoint are no reason to hurry.
const noHurry = 8 << 20

// next returns how many times as long as it works the next checkpoint rests.
func (f *flushes) next() int { return f.rests.next(f.behind) }

// ended tells that a checkpoint has written so many bytes, how many are to be written now, and whether it had to hurry in
// the end. If half as many came as it wrote, the next one would take half of the time, and what else writes files has to
// find the other half.
func (f *flushes) ended(written, left int64, hurried bool) {
	f.behind = left > max(written/2, noHurry) || hurried && written > 0
}

// leisure says how much a rewrite rests. All members compact at the same revision, and so rewrite at the same time: a majority
// is busy with it.
type leisure struct {
	rests  rests
	excess int64 // bytes of garbage beyond what is tolerable, at the last rewrite
}

const (
	// tolerable times the records that are alive, and two runs, are no reason to hurry.
	tolerable    = 1.4
	tolerableToo = 64 << 20
)

// historySize is how many bytes of records all runs have, and how many of them are alive.
type historySize struct{ all, left int64 }

// next returns how many times as long as it works the next rewrite rests.
func (l *leisure) next(size historySize) int {
	excess := max(0, size.all-tolerableToo-int64(tolerable*float64(size.left)))
	if excess == 0 {
		l.rests = mostRests
	}
	hurry := excess > l.excess
	l.excess = excess
	return l.rests.next(hurry)
}
