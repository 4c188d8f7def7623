package lease

import (
	"slices"

	"balsa.example/state/logtime"
)

// Table holds all leases of a cluster, with the keys attached to them and the outcomes of
// sessions. It is deterministic: the same calls give the same results, state, hash and encoding
// on every replica. It is total: it refuses what it cannot do, and changes nothing then. One
// goroutine at a time may use it.
type Table struct {
	limits Limits
	stamp  logtime.Stamp

	pages []*page
	slots uint32           // used so far, of pages
	free  []uint32         // slots that are empty again
	index map[int64]uint32 // id -> slot. Its order is never used
	next  expiries
	// floating are the leases whose expiry is floating or floatingOn. Its order is never used.
	floating map[int64]struct{}

	keys         int // attached in all
	sessions     int
	outcomeBytes uint64

	sum        uint64 // of the hashes of all leases, keys, sessions and outcomes
	generation uint64 // of what no image shares
}

// NewTable returns an empty table at log time 0. The error is ErrLimits.
func NewTable(limits Limits) (*Table, error) {
	if err := limits.check(); err != nil {
		return nil, err
	}
	return &Table{limits: limits, index: map[int64]uint32{}, floating: map[int64]struct{}{}}, nil
}

// Advance is called first for every command that carries a stamp. Neither the clock of the table
// nor its wall time goes back.
func (t *Table) Advance(s logtime.Stamp) { t.stamp = logtime.Later(t.stamp, s) }

// Stamp returns the latest stamp. Its Log is the table's clock, which all methods go by.
func (t *Table) Stamp() logtime.Stamp { return t.stamp }

// Limits returns the limits that the table was made with.
func (t *Table) Limits() Limits { return t.limits }

// Len returns the number of leases, sessions included.
func (t *Table) Len() int { return len(t.index) }

// Sessions returns the number of sessions.
func (t *Table) Sessions() int { return t.sessions }

// OutcomeBytes returns what the outcomes of all sessions count for.
func (t *Table) OutcomeBytes() uint64 { return t.outcomeBytes }

// Keys returns how many keys are attached in all.
func (t *Table) Keys() int { return t.keys }

// Grant makes a lease that expires ttl nanoseconds of log time from now, unless it is kept alive.
// The id is not 0. The id of a session must never have been used before, and never be used again:
// its proposer draws 63 random bits (see the bad schedules of Begin). The errors are ErrExists,
// ErrTTL and ErrTooManyLeases.
func (t *Table) Grant(id, ttl int64, isSession bool) error {
	_, exists := t.index[id]
	switch {
	case exists:
		return ErrExists
	case ttl <= 0 || ttl > MaxTTL:
		return ErrTTL
	case len(t.index) >= int(t.limits.Leases):
		return ErrTooManyLeases
	}
	r := record{id: id, ttl: ttl, expiry: t.end(ttl)}
	if isSession {
		r.session = &session{generation: t.generation}
		r.session.sum = r.session.floorHash(id)
	}
	t.insert(r)
	return nil
}

// KeepAlive lets each lease live for its whole time to live from now on, and appends to remaining
// how many nanoseconds that is: 0 for a lease that does not exist. A lease that should have
// expired but still exists lives on: the leader had its keep-alive before it could expire it.
func (t *Table) KeepAlive(ids []int64, remaining []int64) []int64 {
	remaining = slices.Grow(remaining, len(ids))
	for some := range slices.Chunk(ids, together) {
		remaining = t.keepTogether(some, remaining)
	}
	return remaining
}

// together is how many leases are looked for at a time, so that their waits for memory pass at the same
// time: those for the places of all, then those for the leases.
const together = 64

// keepTogether is KeepAlive for at most together leases.
func (t *Table) keepTogether(ids []int64, remaining []int64) []int64 {
	var slots [together]uint32
	var known [together]bool
	for i, id := range ids {
		slots[i], known[i] = t.index[id]
	}
	ttls := remaining[len(remaining):][:len(ids)]
	for i := range ids {
		if ttls[i] = 0; known[i] {
			ttls[i] = t.record(slots[i]).ttl
		}
	}
	for i, ttl := range ttls {
		if known[i] {
			t.setExpiry(slots[i], t.end(ttl))
		}
	}
	return remaining[:len(remaining)+len(ids)]
}

// end is when a lease ends that has its whole time to live now.
func (t *Table) end(ttl int64) logtime.Time { return min(t.stamp.Log.Add(ttl), floatingOn-1) }

func (t *Table) setExpiry(slot uint32, expiry logtime.Time) {
	r := t.own(slot)
	t.sum -= r.hash()
	r.expiry = expiry
	t.sum += r.hash()
	t.noteFloating(r)
}

// Ended is a lease that was taken out of the table. Its keys are to be deleted together:
// see kv.Store.DeleteKeys.
type Ended struct {
	ID      int64
	Session bool
	Keys    []string // in the order of their bytes
}

// Revoke takes a lease out. The error is ErrNotFound.
func (t *Table) Revoke(id int64) (Ended, error) {
	slot, ok := t.index[id]
	if !ok {
		return Ended{}, ErrNotFound
	}
	return t.remove(slot), nil
}

// Expire takes out leases that were to expire at until or earlier, in the order of expiry and id.
// It stops when leases and keys together reach budget, so that one command cannot take long, but
// takes out one lease in any case. until is the stamp of the command that expires, not the
// table's clock: with another command's later stamp a lease could expire before a keep-alive that
// the leader already has.
func (t *Table) Expire(until logtime.Time, budget int) (ended []Ended) {
	for spent := 0; (spent < budget || len(ended) == 0) && t.Due(until); {
		e := t.remove(t.next.heap[0].slot)
		spent += 1 + len(e.Keys)
		ended = append(ended, e)
	}
	return ended
}

// Due tells whether Expire would take out a lease. Then the one to go first is on top of the heap.
// Beyond the table's clock nothing is due: what floats may be given any later expiry.
func (t *Table) Due(until logtime.Time) bool {
	until = min(until, t.stamp.Log)
	for len(t.next.heap) > 0 && t.next.heap[0].expiry <= until {
		top := t.next.heap[0]
		r := t.record(top.slot)
		if r.expiry == top.expiry {
			return true
		}
		t.next.postpone(t.earliest(r))
	}
	return false
}

// Info tells about one lease.
type Info struct {
	TTL int64 // as it was granted
	// Remaining is how much log time is left, 0 if the lease is to be expired next.
	Remaining int64
	Session   bool
	Keys      int
}

// Lookup returns what is known of a lease, false if it does not exist.
func (t *Table) Lookup(id int64) (Info, bool) {
	slot, ok := t.index[id]
	if !ok {
		return Info{}, false
	}
	r := t.record(slot)
	return Info{
		TTL: r.ttl, Remaining: int64(max(0, t.earliest(r)-t.stamp.Log)), Session: r.session != nil, Keys: r.keys.len(),
	}, true
}

// KeysOf returns the keys that are attached to a lease, in the order of their bytes.
func (t *Table) KeysOf(id int64) []string {
	if slot, ok := t.index[id]; ok {
		return t.record(slot).keys.all()
	}
	return nil
}

// Leases returns the ids of all leases in ascending order.
func (t *Table) Leases() []int64 {
	ids := make([]int64, 0, len(t.index))
	for _, e := range t.next.heap {
		ids = append(ids, e.id)
	}
	slices.Sort(ids)
	return ids
}

// Hash covers everything that is replicated. It is the same after the same commands, whatever
// restarts were between them.
func (t *Table) Hash() uint64 { return t.sum + frameHash(t.limits, t.stamp) }

func frameHash(l Limits, s logtime.Stamp) uint64 {
	return mix(hashLimits, uint64(l.Leases)<<32|uint64(l.KeysPerLease), uint64(l.Window)<<32|uint64(l.OutcomeBytes),
		uint64(l.SessionBytes), l.AllOutcomeBytes) + mix(hashStamp, uint64(s.Log), uint64(s.Wall), 0, 0)
}

func (t *Table) insert(r record) {
	slot := t.slots
	if n := len(t.free); n > 0 {
		slot, t.free = t.free[n-1], t.free[:n-1]
	} else if t.slots++; int(slot/pageLen) == len(t.pages) {
		t.pages = append(t.pages, &page{generation: t.generation})
	}
	*t.own(slot) = r
	t.index[r.id] = slot
	t.next.add(expiryEntry{t.earliest(&r), r.id, slot})
	t.sum += r.hash()
	t.noteFloating(&r)
	if r.session != nil {
		t.sessions++
		t.sum += r.session.sum
		t.outcomeBytes += r.session.bytes
	}
	if r.keys != nil {
		t.sum += r.keys.sum
		t.keys += r.keys.len()
	}
}

func (t *Table) remove(slot uint32) Ended {
	r := *t.record(slot)
	t.sum -= r.hash()
	if r.session != nil {
		t.sessions--
		t.sum -= r.session.sum
		t.outcomeBytes -= r.session.bytes
	}
	if r.keys != nil {
		t.sum -= r.keys.sum
		t.keys -= r.keys.len()
	}
	t.next.remove(slot)
	delete(t.index, r.id)
	delete(t.floating, r.id)
	*t.own(slot) = record{}
	t.free = append(t.free, slot)
	return Ended{ID: r.id, Session: r.session != nil, Keys: r.keys.all()}
}

// record returns what is in a slot, to be read.
func (t *Table) record(slot uint32) *record {
	return &t.pages[slot/pageLen].records[slot%pageLen]
}

// own returns what is in a slot, to be changed.
func (t *Table) own(slot uint32) *record {
	p := t.pages[slot/pageLen]
	if p.generation != t.generation {
		shared := p
		p = new(page)
		*p = *shared
		p.generation = t.generation
		t.pages[slot/pageLen] = p
	}
	return &p.records[slot%pageLen]
}
