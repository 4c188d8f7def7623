package raft

import "testing"

// A leader whose state is damaged lets another voter lead where a member needs that state, for some
// time already, and not again soon.
func TestALeaderWhoseStateIsDamagedHandsOver(t *testing.T) {
	const needed = 3
	for _, c := range []struct {
		name    string
		conf    Configuration
		damaged bool
		behind  bool
		want    NodeID
	}{
		{"a voter needs it", NewConfiguration(1, 2, needed), true, true, 2},
		{"a learner needs it", withLearners(NewConfiguration(1, 2), needed), true, true, 2},
		{"it is in order", NewConfiguration(1, 2, needed), false, true, None},
		{"nobody needs it", NewConfiguration(1, 2, needed), true, false, None},
		{"a witness needs none", withWitness(NewConfiguration(1, 2, needed), needed), true, true, None},
	} {
		r := lead(t, c.conf)
		ticks := func(n int) {
			for range n {
				r.StateDamaged(c.damaged)
				r.Tick(0)
				settle(r)
				ack(t, r, 2)
				p := r.peer(needed)
				ackAt(t, r, needed, p.match)
			}
		}
		if !c.behind {
			r.peer(needed).match = r.log.last()
		}
		if _, err := r.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
		settle(r)
		ack(t, r, 2)
		if c.behind {
			r.peer(needed).match = 0
		} else {
			ack(t, r, needed)
		}
		r.Compact(r.commit)
		timeout := r.cfg.ElectionTimeoutTicks
		if ticks(damagedStateTimeouts*timeout - 1); r.Transferring() != None {
			t.Errorf("%s: it hands over at once", c.name)
		}
		if ticks(1); r.Transferring() != c.want {
			t.Errorf("%s: it hands over to %s, want %s", c.name, r.Transferring(), c.want)
		}
		if ticks(timeout); r.Transferring() != None {
			t.Errorf("%s: nobody took over, and it hands over to %s still", c.name, r.Transferring())
		}
		if ticks(timeout); r.Transferring() != None {
			t.Errorf("%s: it hands over again", c.name)
		}
	}
}
