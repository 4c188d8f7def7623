package rsm_test

import (
	"testing"
	"time"

	"balsa.example/raft"
)

// TestStagesTellWhereTheTimeOfAnEntryWent: the disk of the leader hangs, then those of the others.
func TestStagesTellWhereTheTimeOfAnEntryWent(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.leader()
		c.inc()
		const hangs = 100 * time.Millisecond // too short for the leader to hand over
		hang := func(own bool) (began time.Time, entry raft.Index) {
			var repairs []func()
			for id, disk := range c.disks {
				if (id == leader) == own {
					repairs = append(repairs, disk.hangs())
				}
			}
			time.AfterFunc(hangs, func() {
				for _, repair := range repairs {
					repair()
				}
			})
			began = time.Now()
			_, id, err := c.nodes[leader].SubmitEntry(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			return began, id.Index
		}
		for _, own := range []bool{true, false} {
			began, index := hang(own)
			answered := time.Now()
			time.Sleep(2 * hangs)
			s := c.nodes[leader].Stages(index)
			last := began
			for i, at := range []time.Time{s.Logged, s.Writing, s.Synced, s.Synced} {
				if at.Before(last) {
					t.Errorf("own disk %t: stage %d is at %s, before the stage before", own, i, at.Sub(began))
				}
				last = at
			}
			if s.Committed.Before(s.Logged) || s.Applying.Before(s.Committed) || s.Applied.Before(s.Applying) || s.Applied.After(answered) {
				t.Errorf("own disk %t: %+v", own, s)
			}
			sync, commit := s.Synced.Sub(s.Logged), s.Committed.Sub(s.Logged)
			if own && (sync < hangs || commit > hangs/2) || !own && (commit < hangs || sync > hangs/2) {
				t.Errorf("own disk %t: synced after %s, committed after %s", own, sync, commit)
			}
			for _, id := range c.ids {
				if s := c.nodes[id].Stages(index); s.Applied.IsZero() || s.Logged.Before(began) {
					t.Errorf("%s tells %+v", id, s)
				}
				if s := c.nodes[id].Stages(index + 10); s.Logged != (time.Time{}) || s.Applied != (time.Time{}) {
					t.Errorf("%s has stages of an entry that there is not: %+v", id, s)
				}
			}
		}
	})
}
