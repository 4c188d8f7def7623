package sim

import (
	"fmt"
	"syscall"
	"time"
)

// Totals sums up runs.
type Totals struct {
	Begin     time.Time
	Seeds     int
	Failed    int
	Simulated time.Duration
	Recovery  slowest
	CatchUp   slowest
	Events    uint64
	Faults    FaultCounts
	Counts    Counts
	Outcomes  Outcomes
}

// slowest is the longest of some durations, and the seed of its run.
type slowest struct {
	time.Duration
	seed uint64
}

func (s *slowest) add(d time.Duration, seed uint64) {
	if d > s.Duration {
		*s = slowest{d, seed}
	}
}

func (s slowest) String() string {
	return fmt.Sprintf("%.2f s (seed %d)", s.Seconds(), s.seed)
}

// Add adds a run.
func (t *Totals) Add(r Result) {
	t.Seeds++
	if r.Violation != nil {
		t.Failed++
	}
	t.Simulated += r.Simulated
	t.Recovery.add(r.Recovery, r.Seed)
	t.CatchUp.add(r.CatchUp, r.Seed)
	t.Events += r.Events
	for f, n := range r.Faults {
		t.Faults[f] += n
	}
	t.Counts.add(r.Counts)
	t.Outcomes.Done += r.Outcomes.Done
	t.Outcomes.Maybe += r.Outcomes.Maybe
	t.Outcomes.Dropped += r.Outcomes.Dropped
}

// Counts says how often things happened in a run.
type Counts struct {
	Elections, Commands, Applied, Restores, Installs, Snapshots int
	Reads, LeaseReads, Starts                                   int
	// Forwards are operations that a node forwarded and whose result it told, UnknownForwards
	// those whose outcome it did not know.
	Forwards, UnknownForwards int
	// Calls are those of callers that got an answer, UnknownCalls commands whose outcome they do
	// not know.
	Calls, UnknownCalls int
	// EtcdCalls are those of Calls by the API of etcd.
	EtcdCalls int
	// Denied are calls that their user was not allowed.
	Denied int
	// Limited are calls and operations that a quota or an alarm has refused.
	Limited int
	// Flushes are those that commands waited for, since too much of the history was in memory alone.
	Flushes int
	// Maintained are steps of machines' work on their files after which there was more to do.
	Maintained int
	// Ticks are those that leaders proposed; LeasesEnded counts revoked and expired ones.
	Ticks, LeasesEnded int
	// Watched are messages to watchers, WatchesCompacted those that ended for that reason.
	// EtcdWatched are those by the API of etcd, EtcdFragments those of them that were parts.
	Watched, WatchesCompacted, EtcdWatched, EtcdFragments int
	// Rotten are copies of a machine's files that could not be read after they were damaged.
	Rotten int
	// Repaired are runs that were damaged and repaired; NotRepaired counts attempts that failed.
	Repaired, NotRepaired int
	// FilesLost are runs that could not be found any more.
	FilesLost int
	// Changes are configurations that a leader has appended, Joint those of them that are joint.
	// TakenBack are those that a node has taken back. Joined are voters that were no members at
	// first, Removed are processes that ended since they were removed, LeadersOusted leaders that
	// voted no more.
	Changes, Joint, TakenBack, Joined, Removed, LeadersOusted int
	// NotAdmitted are servers with an empty directory that were not taken for a member, JoinedAnew
	// attempts to add them under another id.
	NotAdmitted, JoinedAnew int
	// LedByWitness are elections that a witness won, Positions those behind which its log was to begin
	// anew, and Lost full voters that were lost for good beside one.
	LedByWitness, Positions, Lost int
	// Minorities are faults of a minority beside which progress was demanded.
	Minorities int
	// Divergences that were noticed.
	Divergences int
	// Resumed are states that went on arriving where an earlier transfer had broken off.
	Resumed int
	// Fetched are files that a machine began to fetch, FetchedInPart those that broke off, and
	// FetchedOn those of which it had the beginning.
	Fetched, FetchedInPart, FetchedOn int
	// ReadErrors are reads of a machine's files that failed.
	ReadErrors int
	// NotNeeded are receptions of states that ended since the log had what was in them.
	NotNeeded int
	// AheadOfLog are restarts with a durable state that is ahead of the own log.
	AheadOfLog int
}

func (c *Counts) add(d Counts) {
	c.Elections += d.Elections
	c.Commands += d.Commands
	c.Applied += d.Applied
	c.Restores += d.Restores
	c.Installs += d.Installs
	c.Snapshots += d.Snapshots
	c.Reads += d.Reads
	c.LeaseReads += d.LeaseReads
	c.Starts += d.Starts
	c.Forwards += d.Forwards
	c.UnknownForwards += d.UnknownForwards
	c.Calls += d.Calls
	c.UnknownCalls += d.UnknownCalls
	c.EtcdCalls += d.EtcdCalls
	c.Denied += d.Denied
	c.Limited += d.Limited
	c.Flushes += d.Flushes
	c.Maintained += d.Maintained
	c.Ticks += d.Ticks
	c.LeasesEnded += d.LeasesEnded
	c.Watched += d.Watched
	c.WatchesCompacted += d.WatchesCompacted
	c.EtcdWatched += d.EtcdWatched
	c.EtcdFragments += d.EtcdFragments
	c.Rotten += d.Rotten
	c.Repaired += d.Repaired
	c.NotRepaired += d.NotRepaired
	c.FilesLost += d.FilesLost
	c.Minorities += d.Minorities
	c.NotAdmitted += d.NotAdmitted
	c.JoinedAnew += d.JoinedAnew
	c.LedByWitness += d.LedByWitness
	c.Positions += d.Positions
	c.Lost += d.Lost
	c.Changes += d.Changes
	c.Joint += d.Joint
	c.TakenBack += d.TakenBack
	c.Joined += d.Joined
	c.Removed += d.Removed
	c.LeadersOusted += d.LeadersOusted
	c.Divergences += d.Divergences
	c.Resumed += d.Resumed
	c.Fetched += d.Fetched
	c.FetchedInPart += d.FetchedInPart
	c.FetchedOn += d.FetchedOn
	c.AheadOfLog += d.AheadOfLog
	c.NotNeeded += d.NotNeeded
	c.ReadErrors += d.ReadErrors
}

func (t *Totals) String() string {
	seconds := time.Since(t.Begin).Seconds()
	return fmt.Sprintf("%d seeds, %d failed, %.2f simulated hours, %.1f seeds/s, %.1f simulated hours a CPU minute; "+
		"operations: %d done, %d maybe, %d dropped; slowest recovery %v, then all caught up in %v; %+v\n\tfaults: %s",
		t.Seeds, t.Failed, t.Simulated.Hours(), float64(t.Seeds)/seconds, t.Simulated.Hours()/cpuTime().Minutes(),
		t.Outcomes.Done, t.Outcomes.Maybe, t.Outcomes.Dropped, t.Recovery, t.CatchUp, t.Counts, t.Faults)
}

// cpuTime is the processor time of the process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Empty returns what happened too seldom in the runs, so that they prove nothing.
func (t *Totals) Empty() (problems []string) {
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for f, n := range t.Faults {
		if n == 0 {
			complain("there was no %s", Fault(f))
		}
	}
	c := &t.Counts
	for _, x := range []struct {
		name       string
		n, atLeast int
	}{
		{"operations done", t.Outcomes.Done, 20 * t.Seeds}, {"elections", c.Elections, 2 * t.Seeds},
		{"restarts", c.Starts, 4 * t.Seeds}, {"snapshots taken", c.Snapshots, t.Seeds},
		{"snapshots restored", c.Restores, t.Seeds}, {"snapshots installed", c.Installs, t.Seeds / 4},
		{"reads", c.Reads, 10 * t.Seeds}, {"lease reads", c.LeaseReads, t.Seeds / 2},
		{"divergences noticed", c.Divergences, t.Seeds / 4}, {"minorities that failed for long", c.Minorities, t.Seeds / 20},
		{"changes of the members", c.Changes, t.Seeds}, {"joint phases", c.Joint, t.Seeds / 3}, {"configurations taken back", c.TakenBack, t.Seeds / 20},
		{"new voters", c.Joined, t.Seeds / 20}, {"processes that ended since they were removed", c.Removed, t.Seeds / 3}, {"leaders that were removed", c.LeadersOusted, t.Seeds / 5},
		{"servers with an empty directory that were not admitted", c.NotAdmitted, t.Seeds / 100},
		{"elections won by a witness", c.LedByWitness, t.Seeds / 40}, {"positions of witnesses", c.Positions, t.Seeds / 40}, {"full voters lost beside a witness", c.Lost, t.Seeds / 100},
		{"resumed streams", c.Resumed, t.Seeds / 200},
		{"restarts ahead of the own log", c.AheadOfLog, t.Seeds / 200},
		{"operations forwarded", c.Forwards, 5 * t.Seeds},
		{"calls answered", c.Calls, 20 * t.Seeds}, {"leases ended", c.LeasesEnded, t.Seeds},
		{"calls and operations that a quota or an alarm has refused", c.Limited, 2 * t.Seeds},
		{"writes of the history that commands waited for", c.Flushes, t.Seeds},
		{"damaged states noticed", c.Rotten, t.Seeds}, {"runs repaired", c.Repaired, t.Seeds / 40}, {"runs lost", c.FilesLost, t.Seeds / 100}, {"reads of files that failed", c.ReadErrors, t.Seeds / 40},
		{"messages to watchers", c.Watched, 20 * t.Seeds}, {"watches that were compacted", c.WatchesCompacted, t.Seeds / 20},
		{"calls answered by the API of etcd", c.EtcdCalls, 4 * t.Seeds},
		{"messages to watchers by the API of etcd", c.EtcdWatched, 5 * t.Seeds}, {"fragments", c.EtcdFragments, t.Seeds / 4},
	} {
		if x.n < x.atLeast {
			complain("only %d %s in %d seeds", x.n, x.name, t.Seeds)
		}
	}
	if t.Outcomes.Maybe*10 > t.Outcomes.Total() {
		complain("%d of %d operations have an unknown outcome", t.Outcomes.Maybe, t.Outcomes.Total())
	}
	if c.UnknownForwards > c.Forwards {
		complain("%d operations that were forwarded have an unknown outcome, and only %d a result", c.UnknownForwards, c.Forwards)
	}
	return problems
}
