package replica

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// upkeep is the goroutine that lets the state free what compaction has forgotten, and that lets
// a leader compact what need not be kept.
type upkeep struct {
	replica *Replica
	keep    state.Retention
	quota   int64 // Config.Quota
	known   func(raft.NodeID) (uint64, bool)
	log     *slog.Logger
	// looked is when it has looked last whether there is something to do, and asked when it has
	// asked for a checkpoint.
	looked, asked time.Time
	background
}

const (
	// upkeepInterval is how often it looks whether there is something to do. What there is to free
	// is freed step by step, without a look in between: there may be thousands of steps. It rests stepRests times as
	// long as a step took, since all members are at it at the same time.
	upkeepInterval = time.Second
	stepRests      = 8
	// upkeepRetry is how long it waits after an error: a full disk rarely gets space soon.
	upkeepRetry = 10 * time.Second
	// checkpointInterval is how often it asks for a checkpoint at most.
	checkpointInterval = 10 * time.Second
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

// tidy asks for what is due, lets the state do one step of its work, and sets when the next one is due.
func (u *upkeep) tidy(next *time.Timer) error {
	if time.Since(u.looked) >= upkeepInterval {
		u.looked = time.Now()
		u.look()
	}
	u.setQuota()
	u.raiseVersion()
	wait := upkeepInterval
	began := time.Now()
	more, err := u.replica.State.Maintain()
	switch {
	case err != nil && u.replica.State.Interrupted():
	case err != nil:
		u.log.Warn("the state was not tidied up", "error", err)
		wait = upkeepRetry
	case more:
		wait = min(stepRests*time.Since(began), longestRest)
	}
	next.Reset(wait)
	return err
}

// look asks for what is due: a checkpoint, a compaction.
func (u *upkeep) look() {
	r := u.replica
	if r.State.CheckpointWanted() && time.Since(u.asked) >= checkpointInterval {
		u.asked = time.Now()
		r.Node.Checkpoint()
	}
	if revision := r.State.CompactionDue(u.keep); revision != 0 && r.Node.Leads() {
		u.compact(revision)
	}
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

// compact proposes to compact. Where it is refused it will be due again.
func (u *upkeep) compact(revision uint64) {
	c := state.Command{More: &state.More{Kind: state.KindCompact, Revision: revision, Internal: true}}
	u.replica.Node.SubmitFunc(c, func(res state.Result, err error) {
		if err == nil && res.Code == kv.CodeOK {
			u.log.Info("history compacted", "revision", revision)
		}
	})
}

// setQuota proposes the quota where there is none. Where it is refused it will be due again.
func (u *upkeep) setQuota() {
	if !u.replica.lacksQuota() || !u.replica.Node.Leads() {
		return
	}
	u.replica.Node.SubmitFunc(u.quotaCommand(), func(res state.Result, err error) {
		if err == nil && res.Code == kv.CodeOK {
			u.log.Info("quota set", "bytes", u.quota)
		}
	})
}

func (r *Replica) lacksQuota() bool { return r.upkeep.quota != 0 && r.State.Figures().Quota == 0 }

func (u *upkeep) quotaCommand() state.Command {
	return state.Command{More: &state.More{Kind: state.KindQuota, Quota: u.quota, Internal: true}}
}

// firstCommand is rsm.Config.First: the quota is in force before the first write of a new cluster.
func (r *Replica) firstCommand() (c state.Command, ok bool) {
	return r.upkeep.quotaCommand(), r.lacksQuota()
}

// pace lets what is written in the background rest as long as it has worked, so that it gets
// half of the disk at most, and what waits for the disk never waits long.
type pace struct {
	urgent atomic.Bool     // no rest
	done   <-chan struct{} // closed when nothing rests any more
	rested time.Time
}

// longestRest bounds a rest, and tells work from the time between two pieces of work.
const longestRest = 100 * time.Millisecond

func (p *pace) pause(_, times int) {
	worked := time.Since(p.rested)
	if !p.urgent.Load() && worked < longestRest {
		select {
		case <-time.After(min(worked*time.Duration(times), longestRest)):
		case <-p.done:
		}
	}
	p.rested = time.Now()
}

// raiseVersion proposes the newest version of commands that all members know, if the cluster uses an
// older one.
func (u *upkeep) raiseVersion() {
	version := u.replica.State.KnownVersion()
	if u.known == nil || version <= u.replica.State.ClusterVersion() || !u.replica.Node.Leads() {
		return
	}
	members, _ := u.replica.Node.Configuration()
	for _, id := range members.Members() {
		if id == u.replica.id {
			continue
		}
		theirs, ok := u.known(id)
		if !ok {
			return
		}
		version = min(version, theirs)
	}
	if version <= u.replica.State.ClusterVersion() {
		return
	}
	c := state.Command{More: &state.More{Kind: state.KindVersion, Version: version, Internal: true}}
	u.replica.Node.SubmitFunc(c, func(res state.Result, err error) {
		if err == nil && res.Code == kv.CodeOK {
			u.log.Info("the cluster uses commands of a newer version", "version", version)
		}
	})
}
