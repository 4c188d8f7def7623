package replica

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"balsa.example/rsm"
)

// upkeep is the goroutine that lets the state free what compaction has forgotten, and check its files. A step of that
// takes seconds, and may wait for a disk or for another member for longer.
type upkeep struct {
	replica *Replica
	log     *slog.Logger
	worked  time.Duration // since it has rested
	background
}

const (
	// upkeepInterval is how often it looks whether there is something to do. What there is to free
	// is freed step by step: there may be thousands of steps. All members are at it at the same time, so it rests for
	// stepsRest when the steps have taken as long.
	upkeepInterval = time.Second
	stepsRest      = time.Millisecond
	// upkeepRetry is how long it waits after an error: a full disk rarely gets space soon.
	upkeepRetry = 10 * time.Second
	// firstScrub is when it begins to check files after the start. Then it checks one after the
	// other, at scrubInterval, or faster where they are many, so that all are in scrubAll.
	firstScrub    = time.Minute
	scrubInterval = 5 * time.Minute
	scrubAll      = 7 * 24 * time.Hour
)

func (u *upkeep) run(ctx context.Context) {
	r := u.replica
	if n := r.State.Figures().Repaired; n > 0 {
		u.log.Warn("files of the history were damaged at the start and are repaired", "files", n)
	}
	timer := time.NewTimer(upkeepInterval)
	defer timer.Stop()
	scrub := time.NewTimer(firstScrub)
	defer scrub.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-r.Node.Done():
			return
		case <-r.State.ScrubWanted():
			err = u.scrub(scrub)
		case <-scrub.C:
			err = u.scrub(scrub)
		case <-timer.C:
			err = u.tidy(timer)
		}
		switch {
		case errors.Is(err, rsm.ErrMachineFailed): // the Node knows only of what it has asked for
			r.Node.Fail(err)
			return
		case err != nil && r.State.Interrupted():
			return
		}
	}
}

// tidy lets the state do one step of its work, and sets when the next one is due.
func (u *upkeep) tidy(next *time.Timer) error {
	wait := upkeepInterval
	began := time.Now()
	more, err := u.replica.State.Maintain()
	switch {
	case err != nil && u.replica.State.Interrupted():
	case err != nil:
		u.log.Warn("the state was not tidied up", "error", err)
		wait = upkeepRetry
	case more:
		wait = u.rest(time.Since(began))
	}
	next.Reset(wait)
	return err
}

// rest returns how long to rest after a step.
func (u *upkeep) rest(took time.Duration) time.Duration {
	if u.worked += took; u.worked < stepsRest {
		return 0
	}
	u.worked = 0
	return stepsRest
}

// scrub lets the state read one of its files, and sets when it reads the next one.
func (u *upkeep) scrub(next *time.Timer) error {
	done, err := u.replica.State.Scrub()
	switch {
	case u.replica.State.Interrupted():
	case err != nil && done.Damage != nil:
		u.log.Error("a file of the history is damaged", "damage", done.Damage, "not_repaired", err)
	case err != nil:
		u.log.Warn("a file of the history was not checked", "error", err)
	case done.Damage != nil:
		u.log.Warn("a file of the history was damaged and is repaired", "damage", done.Damage)
	}
	wait := upkeepInterval
	if done.Path != "" { // else it was busy
		wait = min(scrubInterval, scrubAll/time.Duration(max(u.replica.State.Figures().Runs, 1)))
	}
	next.Reset(wait)
	return err
}

// pace lets what is done in the background rest for some times as long as it has worked, so that others have the disk and
// the processors meanwhile, and what waits for them never waits long.
type pace struct {
	urgent atomic.Bool     // no rest
	done   <-chan struct{} // closed when nothing rests any more
	rested time.Time
}

const (
	// shortestRest is how long a rest is at least: until then it works on. The kernel may wake it a millisecond late (see
	// machine.StartAnew), so that shorter ones would be far longer than they should.
	shortestRest = 500 * time.Microsecond
	// longestRest bounds a rest, and tells work from the time between two pieces of work.
	longestRest = 100 * time.Millisecond
)

// pause tells whether it may rest.
func (p *pace) pause(_, times int) (gentle bool) {
	gentle = !p.urgent.Load()
	worked := time.Since(p.rested)
	if gentle && worked < longestRest {
		rest := worked * time.Duration(times)
		if rest < shortestRest {
			return gentle
		}
		select {
		case <-time.After(min(rest, longestRest)):
		case <-p.done:
		}
	}
	p.rested = time.Now()
	return gentle
}
