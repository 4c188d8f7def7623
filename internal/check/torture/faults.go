package main

import (
	"context"
	"fmt"
	"time"
)

// The kinds of faults, as the report names them.
const (
	kindKill    = "kill"
	kindPause   = "pause"
	kindAll     = "kill of all"
	kindCatchUp = "catch-up"
	kindNetwork = "network"   // see networkKinds
	kindChange  = "change"    // see changeKinds
	kindVersion = "version"   // see kindUpgrade
	kindFull    = "full disk" // see kindFullStops
)

// fault is one fault of the cluster.
type fault struct {
	kind string // as far as it is known before
	// do injects the fault, and returns when writes are possible again.
	do func() error
}

// schedule returns the faults of the run, in an order that the seed decides.
func (t *torture) schedule() []fault {
	var all []fault
	repeat := func(n int, kind string, do func() error) {
		for range n {
			all = append(all, fault{kind, do})
		}
	}
	repeat(t.o.kills, kindKill, t.killLeader)
	repeat(t.o.pauses, kindPause, t.pauseLeader)
	repeat(t.o.network, kindNetwork, t.networkFault)
	if t.o.older == "" {
		repeat(t.o.changes, kindChange, t.change)
	}
	repeat(t.o.upgrades, kindVersion, t.otherVersion)
	for i := range t.o.logReaders {
		kind := []string{kindLogStops, kindLogEnds}[i%2]
		repeat(1, kind, func() error { return t.logFault(kind == kindLogEnds) })
	}
	modes := t.rng.Perm(len(powerLosses))
	for i := range t.o.powerLosses {
		kind := powerLosses[modes[i%len(modes)]]
		repeat(1, kind, func() error { return t.powerLoss(kind) })
	}
	for i := range t.o.fullDisks {
		repeat(1, kindFull, func() error { return t.fullDisk(i%2 == 1) })
	}
	for i := range t.o.hungDisks {
		repeat(1, kindHung, func() error { return t.hungDisk(i%2 == 0) })
	}
	lengths := t.o.outageLengths()
	t.rng.Shuffle(len(lengths), func(i, j int) { lengths[i], lengths[j] = lengths[j], lengths[i] })
	for i, d := range lengths {
		kind := outageKinds[i%len(outageKinds)]
		repeat(1, kind, func() error { return t.outage(kind, d) })
	}
	t.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if t.o.catchUp {
		repeat(1, kindCatchUp, t.catchUp)
	}
	if t.o.restart {
		repeat(1, kindAll, t.restartAll)
	}
	if t.o.older != "" {
		repeat(1, kindNewerTakes, func() error { return t.takesState(kindNewerTakes) })
		repeat(1, kindOlderTakes, func() error { return t.takesState(kindOlderTakes) })
		repeat(1, kindUpgradeAll, t.upgradeAll)
		repeat(1, kindTooOld, t.tooOld)
		repeat(t.o.changes, kindChange, t.change) // older members know no changes
	}
	return all
}

func (t *torture) faults() error {
	t.sleep(500 * time.Millisecond)
	for _, fault := range t.schedule() {
		if err := t.load.rotate(t.ck); err != nil {
			return err
		}
		if err := fault.do(); err != nil {
			return err
		}
		if err := t.healthy(); err != nil {
			return err
		}
		t.sleep(t.between(200*time.Millisecond, 600*time.Millisecond))
		if t.ctx.Err() != nil {
			return t.ctx.Err()
		}
	}
	return nil
}

// done notes a fault that is over, and how long writes were not possible; took is 0 if that has no
// meaning.
func (t *torture) done(kind string, took time.Duration, format string, args ...any) {
	t.report.count(kind)
	what := fmt.Sprintf(format, args...)
	if took > 0 {
		t.report.recovered(kind, took)
		what += fmt.Sprintf(", writes back after %v", took.Round(time.Millisecond))
	}
	fmt.Printf("%6.1fs  %s: %s\n", time.Since(t.began).Seconds(), kind, what)
}

func (t *torture) leader() (*member, error) {
	ctx, cancel := context.WithTimeout(t.ctx, 10*time.Second)
	defer cancel()
	return t.c.leader(ctx, t.ck)
}

// killLeader kills the leader, waits until writes are possible again, and restarts it.
func (t *torture) killLeader() error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	at := time.Now()
	leader.kill()
	took, err := t.load.resumed(t.ctx, at, t.o.within)
	if err != nil {
		return fmt.Errorf("after the kill of %s: %w", leader.name, err)
	}
	t.done(kindKill, took, "%s", leader.name)
	t.sleep(t.between(0, 300*time.Millisecond))
	_, err = t.c.restart(leader)
	return err
}

// pauseLeader stops the leader's process for longer than an election takes. When the process goes
// on, it must not act as the leader.
func (t *torture) pauseLeader() error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	at := time.Now()
	leader.pause()
	t.sleep(t.between(time.Second, 3*time.Second))
	leader.resume()
	t.done(kindPause, 0, "%s for %v", leader.name, time.Since(at).Round(time.Millisecond))
	_, err = t.load.resumed(t.ctx, time.Now(), t.o.heal)
	return err
}

// catchUp lets a follower fall behind.
func (t *torture) catchUp() error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	return t.fallBehind(kindCatchUp, t.c.but(leader)[0])
}

// fallBehind keeps a member down until the others have compacted the log beyond its last index, so
// that it needs a snapshot.
func (t *torture) fallBehind(kind string, m *member) error {
	before, err := t.status(m)
	if err != nil {
		return err
	}
	m.kill()
	leader, err := t.leader()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.ctx, 2*time.Minute)
	defer cancel()
	if err := t.until(ctx, func() bool {
		s, err := t.status(leader)
		return err == nil && s.FirstIndex > before.Applied+1
	}); err != nil {
		return fmt.Errorf("the log was not cut beyond %d while %s was down: %w", before.Applied, m.name, err)
	}
	if _, err := t.c.restart(m); err != nil {
		return err
	}
	var after position
	if err := t.until(ctx, func() (ok bool) {
		after, err = t.status(m)
		return err == nil && after.Snapshot > before.Applied && after.Applied > after.Snapshot
	}); err != nil {
		return fmt.Errorf("%s did not catch up: %w", m.name, err)
	}
	t.done(kind, 0, "%s was at %d, and came back by the snapshot at %d", m.name, before.Applied, after.Snapshot)
	return nil
}

// restartAll kills all servers at once and starts them again.
func (t *torture) restartAll() error {
	for _, m := range t.c.members {
		m.kill()
	}
	at, err := t.c.restart(t.c.members...)
	if err != nil {
		return err
	}
	took, err := t.load.resumed(t.ctx, at, t.o.heal)
	if err != nil {
		return fmt.Errorf("after all servers were killed: %w", err)
	}
	t.done(kindAll, took, "all")
	return nil
}

// sleep waits, less if the run is interrupted.
func (t *torture) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.ctx.Done():
	}
}

// until waits until ok.
func (t *torture) until(ctx context.Context, ok func() bool) error {
	for !ok() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (t *torture) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(t.rng.Int64N(int64(hi-lo)))
}
