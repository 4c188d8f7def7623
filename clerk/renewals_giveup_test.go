package clerk

import "testing"

// A renewal is told to send for others, one of those gives up, and then it gives up itself: the one that has
// gone is not told to send. The request would never end, and with two of them no lease would be kept
// alive any more.
func TestARenewalThatHasGoneIsNotToldToSend(t *testing.T) {
	for _, stays := range []bool{false, true} {
		r := &renewals{running: 1}
		all := make([]*renewal, 3)
		for i := range all {
			all[i] = &renewal{lease: int64(i + 1), told: make(chan renewed, 1)}
		}
		r.waiting = append(r.waiting, all...)
		r.next() // the first one is told
		r.giveUp(all[1])
		if !stays {
			r.giveUp(all[2])
		}
		r.giveUp(all[0])
		if len(r.waiting) != 0 || len(all[1].told) != 0 {
			t.Errorf("%d wait, and the one that has gone was told %d things", len(r.waiting), len(all[1].told))
		}
		if !stays && r.running != 0 {
			t.Errorf("%d requests are under way, and all have given up", r.running)
		}
		if !stays {
			continue
		}
		if len(all[2].told) != 1 || r.running != 1 {
			t.Errorf("the one that waits is told %d things, and %d are under way", len(all[2].told), r.running)
		} else if told := <-all[2].told; len(told.send) != 1 || told.send[0] != all[2] {
			t.Errorf("the one that waits is told %+v", told)
		}
	}
}
