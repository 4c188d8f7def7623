package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// position is how far a server is.
type position struct {
	FirstIndex, Applied, Snapshot uint64
	Revision, Hash, HashIndex     uint64
}

func (t *torture) status(m *member) (position, error) {
	ctx, cancel := context.WithTimeout(t.ctx, time.Second)
	defer cancel()
	s, err := t.ck.Status(ctx, m.client)
	if err != nil {
		return position{}, err
	}
	return position{s.FirstIndex, s.AppliedIndex, s.SnapshotIndex, s.Revision, s.StateHash, s.StateHashIndex}, nil
}

// healthy waits until all servers run and have caught up with where the leader was.
func (t *torture) healthy() error {
	ctx, cancel := context.WithTimeout(t.ctx, t.o.rejoin)
	defer cancel()
	leader, err := t.c.leader(ctx, t.ck)
	if err != nil {
		return err
	}
	var goal position
	if err := t.until(ctx, func() bool { goal, err = t.status(leader); return err == nil }); err != nil {
		return fmt.Errorf("%s, the leader, does not answer: %w", leader.name, err)
	}
	for _, m := range t.c.members {
		var p position
		err := t.until(ctx, func() bool {
			var err error
			p, err = t.status(m)
			return err == nil && p.Applied >= goal.Applied || !m.running()
		})
		if !m.running() {
			return fmt.Errorf("%s did not come back", m.name)
		}
		if err != nil {
			return fmt.Errorf("%s did not come back within %v: it has applied %d, the leader had %d: %w", m.name, t.o.rejoin, p.Applied, goal.Applied, err)
		}
	}
	return nil
}

// converge waits until all servers have applied the same index, and checks that their states are
// equal.
func (t *torture) converge() error {
	ctx, cancel := context.WithTimeout(t.ctx, 20*time.Second)
	defer cancel()
	members := slices.DeleteFunc(slices.Clone(t.c.members), isWitness) // which has no state
	var all []position
	err := t.until(ctx, func() bool {
		all = nil
		same := true
		for _, m := range members {
			p, err := t.status(m)
			same = same && err == nil
			all = append(all, p)
		}
		for _, p := range all {
			same = same && p.Applied == all[0].Applied && p.Revision == all[0].Revision && p.HashIndex == all[0].HashIndex
		}
		return same
	})
	if err != nil {
		return fmt.Errorf("the servers do not converge: %+v: %w", all, err)
	}
	for i, p := range all {
		if p.Hash != all[0].Hash {
			return fmt.Errorf("%s and %s have applied %d and differ: hashes %x, %x", members[0].name, members[i].name, p.Applied, all[0].Hash, p.Hash)
		}
	}
	return nil
}

// check checks the whole run, after all faults.
func (t *torture) check() error {
	if err := t.load.verify(t.ctx, t.ck); err != nil {
		return err
	}
	sums := t.load.judge.sums()
	switch {
	case sums.Writes < 50*(t.report.faults()+1):
		return fmt.Errorf("only %d writes: that proves nothing", sums.Writes)
	case sums.Maybes*10 > sums.Operations:
		return fmt.Errorf("%d of %d operations have an unknown outcome: that proves little", sums.Maybes, sums.Operations)
	case t.o.etcdClients > 0 && (sums.Events < sums.Writes || sums.Leases == 0):
		return fmt.Errorf("%d writes, and only %d events and %d leases by the API of etcd: that proves nothing", sums.Writes, sums.Events, sums.Leases)
	case t.report.Faults[kindCorrupt] > 0 && t.report.CorruptFrames == 0:
		return errors.New("frames were corrupted, and no server says that it noticed")
	}
	return nil
}
