package run

const (
	// pacedBytes is how much is done between two calls of a pace: with a record of 1 KiB some 0.1 ms
	// of work.
	pacedBytes = gentlePiece
	// recordWork is what a record counts beside its own bytes: a look at it takes about as long as to
	// read and copy so many.
	recordWork = 1 << 10
)

// pacing calls a pace during work that writes nothing. A rewrite reads far more than it writes. All
// members compact at the same revision, and so rewrite at the same time: if each computed without a
// rest, all commands would wait for a processor meanwhile.
type pacing struct {
	pace func(bytes int) // nil: there is none
	done int
}

// did is called after the work on a record, with the number of bytes that were looked at.
func (p *pacing) did(bytes int) {
	if p.done += recordWork + bytes; p.done >= pacedBytes && p.pace != nil {
		p.done = 0
		p.pace(0)
	}
}
