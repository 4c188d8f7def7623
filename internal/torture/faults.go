package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"balsa/clerk"
	"balsa/internal/history"
)

// torture is one run.
type torture struct {
	o      options
	c      *cluster
	rng    *rand.Rand
	ck     *clerk.Clerk
	load   *load
	report report
}

// run does all faults under load, and then checks what the clients saw.
func (t *torture) run() (err error) {
	for _, m := range t.c.members {
		if err := t.c.start(m); err != nil {
			return err
		}
	}
	if t.ck, err = t.admin(); err != nil {
		return err
	}
	defer t.ck.Close()
	if err := waitReady(t.ck); err != nil {
		return err
	}
	if t.load, err = startLoad(t.c.endpoints(), t.o.clients, t.o.keys, t.o.pause); err != nil {
		return err
	}
	faultErr := t.faults()
	if err := t.load.stop(); faultErr != nil || err != nil {
		return fmt.Errorf("under load: %w", firstOf(faultErr, err))
	}
	if err := t.converge(); err != nil {
		return err
	}
	return t.check()
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (t *torture) faults() error {
	time.Sleep(500 * time.Millisecond)
	left := []int{t.o.kills, t.o.pauses}
	for left[0]+left[1] > 0 {
		var err error
		if t.rng.IntN(left[0]+left[1]) < left[0] {
			left[0]--
			err = t.killLeader()
		} else {
			left[1]--
			err = t.pauseLeader()
		}
		if err != nil {
			return err
		}
	}
	if t.o.catchUp {
		if err := t.catchUp(); err != nil {
			return err
		}
	}
	if t.o.restart {
		return t.restartAll()
	}
	return nil
}

func (t *torture) leader() (*member, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return t.c.leader(ctx, t.ck)
}

// killLeader kills the leader, waits for writes to be back, and starts it again.
func (t *torture) killLeader() error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	at := time.Now()
	leader.kill()
	took, err := t.load.resumed(at, t.o.within)
	if err != nil {
		return fmt.Errorf("after kill %d, of %s: %w", t.report.Kills+1, leader.name, err)
	}
	t.report.Kills++
	t.report.ResumedMs = append(t.report.ResumedMs, took.Seconds()*1000)
	fmt.Printf("kill %d: %s, writes back after %v\n", t.report.Kills, leader.name, took.Round(time.Millisecond))
	time.Sleep(t.between(0, 300*time.Millisecond))
	if err := t.c.start(leader); err != nil {
		return err
	}
	time.Sleep(t.between(500*time.Millisecond, time.Second))
	return nil
}

// pauseLeader stops the leader's process for longer than an election takes; when it
// goes on it must not believe that it still leads.
func (t *torture) pauseLeader() error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	leader.pause()
	time.Sleep(t.between(time.Second, 3*time.Second))
	leader.resume()
	t.report.Pauses++
	fmt.Printf("pause %d: %s\n", t.report.Pauses, leader.name)
	time.Sleep(t.between(300*time.Millisecond, time.Second))
	return nil
}

// catchUp keeps a follower down until the others have cut the log behind what it
// has, so that only a snapshot can bring it back.
func (t *torture) catchUp() error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(t.c.members, func(m *member) bool { return m != leader })
	follower := t.c.members[i]
	before, err := t.status(follower)
	if err != nil {
		return err
	}
	follower.kill()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		s, err := t.status(leader)
		if err == nil && s.FirstIndex > before.Applied+1 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the log was not cut beyond %d while %s was down", before.Applied, follower.name)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := t.c.start(follower); err != nil {
		return err
	}
	for {
		s, err := t.status(follower)
		if err == nil && s.Snapshot > before.Applied && s.Applied > s.Snapshot {
			fmt.Printf("catch-up: %s was at %d, and came back by the snapshot at %d\n", follower.name, before.Applied, s.Snapshot)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not catch up", follower.name)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// restartAll kills all servers at once and starts them again.
func (t *torture) restartAll() error {
	for _, m := range t.c.members {
		m.kill()
		t.report.Kills++
	}
	at := time.Now()
	for _, m := range t.c.members {
		if err := t.c.start(m); err != nil {
			return err
		}
	}
	took, err := t.load.resumed(at, 10*time.Second)
	if err != nil {
		return fmt.Errorf("after all servers were killed: %w", err)
	}
	fmt.Printf("kill of all: writes back after %v\n", took.Round(time.Millisecond))
	return nil
}

// position is where a server stands.
type position struct {
	FirstIndex, Applied, Snapshot uint64
	Revision, Hash, HashIndex     uint64
}

func (t *torture) status(m *member) (position, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := t.ck.Status(ctx, m.client)
	if err != nil {
		return position{}, err
	}
	return position{s.FirstIndex, s.AppliedIndex, s.SnapshotIndex, s.Revision, s.StateHash, s.StateHashIndex}, nil
}

// converge waits until all servers stand at the same place with the same state.
func (t *torture) converge() error {
	deadline := time.Now().Add(20 * time.Second)
	var all []position
	for time.Now().Before(deadline) {
		all = nil
		same := true
		for _, m := range t.c.members {
			p, err := t.status(m)
			same = same && err == nil
			all = append(all, p)
		}
		for _, p := range all {
			same = same && p.Applied == all[0].Applied && p.Revision == all[0].Revision && p.HashIndex == all[0].HashIndex
		}
		if same {
			for i, p := range all {
				if p.Hash != all[0].Hash {
					return fmt.Errorf("%s and %s have applied %d and differ: hashes %x, %x", t.c.members[0].name, t.c.members[i].name, p.Applied, all[0].Hash, p.Hash)
				}
			}
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the servers do not converge: %+v", all)
}

// check judges the history, after one last look at every key.
func (t *torture) check() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for k := range t.o.keys {
		_, _ = t.load.history.Get(ctx, t.o.clients+1, t.ck, fmt.Sprintf("k%d", k))
	}
	_, _ = t.load.history.Get(ctx, t.o.clients+1, t.ck, "pulse")
	ops := t.load.history.Ops()
	for _, op := range ops {
		t.report.Operations++
		if op.Kind == history.Put && op.Outcome == history.OK {
			t.report.Writes++
		}
		if op.Outcome == history.Maybe {
			t.report.Maybes++
		}
	}
	t.report.Failed = t.load.history.Failed()
	if t.report.Writes < 100*(t.o.kills+1) {
		return fmt.Errorf("only %d writes: that proves nothing", t.report.Writes)
	}
	if t.report.Maybes*10 > t.report.Operations {
		return fmt.Errorf("%d of %d operations have an unknown fate: that proves little", t.report.Maybes, t.report.Operations)
	}
	return history.Check(ops, 2*time.Minute)
}

func (t *torture) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(t.rng.Int64N(int64(hi-lo)))
}

// spread describes figures by their least, median and greatest.
func spread(ms []float64) string {
	if len(ms) == 0 {
		return "no kill"
	}
	sorted := slices.Sorted(slices.Values(ms))
	return fmt.Sprintf("%.0f to %.0f ms, median %.0f", sorted[0], sorted[len(sorted)-1], sorted[len(sorted)/2])
}
