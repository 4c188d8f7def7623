package sim

import (
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
)

// Result is the result of a run.
type Result struct {
	Seed       uint64
	Violation  *Violation // nil: no invariant was violated
	Hash       uint64     // of the trace
	Simulated  time.Duration
	Recovery   time.Duration // from the end of the faults until operations complete
	CatchUp    time.Duration // from there until all nodes had caught up
	Events     uint64
	Mix        Mix
	Injections []Injection
	Faults     FaultCounts
	Counts     Counts
	Outcomes   Outcomes
	Last       []string // lines of the trace, if there was a violation
}

// Outcomes counts operations by how they ended.
type Outcomes struct {
	Done    int // executed, or refused because of the key's version
	Maybe   int
	Dropped int
}

// Total is the number of operations that ended.
func (o Outcomes) Total() int { return o.Done + o.Maybe + o.Dropped }

// shownLines is how much of the trace a failed run shows.
const shownLines = 200

func (w *world) result(v *Violation) Result {
	r := Result{
		Seed: w.opt.Seed, Violation: v, Hash: w.trace.hash, Simulated: w.now, Recovery: w.recovery, CatchUp: w.catchUp, Events: w.events,
		Mix: w.mix, Injections: w.injections, Faults: w.faults, Counts: w.check.counts,
	}
	r.Counts.Installs = w.check.installs
	for _, rec := range w.records {
		switch {
		case rec.verdict == clerk.Answered && rec.reply.Code <= api.Reply_NO_KEY:
			r.Outcomes.Done++
		case rec.verdict == clerk.Maybe:
			r.Outcomes.Maybe++
		case rec.verdict != 0:
			r.Outcomes.Dropped++
		}
	}
	if v != nil {
		r.Last = w.trace.last(shownLines)
	}
	return r
}
