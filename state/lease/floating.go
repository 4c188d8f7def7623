package lease

import "balsa.example/state/logtime"

// A member that does not lead has no stamp for what it sends to the leader. So a lease that is
// granted or kept alive without a stamp floats: it has its whole time to live until a Tick says
// what time it is.
//
// That is the second Tick, not the first. A leader takes the stamp of a Tick before it proposes
// it, and the lease may get into the log in between. With the first Tick the lease would count
// from before its client asked. The stamp of the second Tick was taken after the first one had
// been proposed, and so after the lease.
const (
	floating   = logtime.Never     // no Tick has followed
	floatingOn = logtime.Never - 1 // one has
)

// Float lets leases, which have just been granted or kept alive, count from a later Tick on. Those
// that do not exist are ignored.
func (t *Table) Float(ids []int64) {
	for _, id := range ids {
		if slot, ok := t.index[id]; ok {
			t.setExpiry(slot, floating)
		}
	}
}

// Settle is called for each Tick, after Advance and before KeepAlive.
func (t *Table) Settle() {
	for id := range t.floating {
		slot := t.index[id]
		if r := t.record(slot); r.expiry == floating {
			t.setExpiry(slot, floatingOn)
		} else {
			t.setExpiry(slot, t.end(r.ttl))
		}
	}
}

// noteFloating notes whether a lease floats.
func (t *Table) noteFloating(r *record) {
	if r.expiry >= floatingOn {
		t.floating[r.id] = struct{}{}
	} else if len(t.floating) > 0 {
		delete(t.floating, r.id)
	}
}

// earliest is when a lease expires at the earliest, as far as is known now.
func (t *Table) earliest(r *record) logtime.Time {
	if r.expiry >= floatingOn {
		return t.end(r.ttl)
	}
	return r.expiry
}
