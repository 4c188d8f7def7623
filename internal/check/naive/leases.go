package naive

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// lease ends at a log time, unless it is kept alive. A session is a lease that remembers
// outcomes.
type lease struct {
	id, ttl, expiry int64
	session         bool
	ticks           int                // that are missing until it has an end: it floats
	outcomes        map[uint64]outcome // by sequence number, all above floor
	floor           uint64             // nothing up to this number is executed any more
}

// maxTTL is the longest that a lease can be granted for, as in etcd.
const maxTTL = 9_000_000_000 * 1_000_000_000

// end is when something of a length ends that begins now.
func (m *Machine) end(ttl int64) int64 {
	if ttl > math.MaxInt64-m.clock {
		return math.MaxInt64
	}
	return m.clock + ttl
}

func (m *Machine) grant(id, ttl int64, session bool) kv.Code {
	switch {
	case id == 0:
		return kv.CodeInvalid
	case m.leases[id] != nil:
		return kv.CodeLeaseExists
	case ttl <= 0 || ttl > maxTTL:
		return kv.CodeLeaseTTL
	}
	m.leases[id] = &lease{id: id, ttl: ttl, expiry: m.end(ttl), session: session, outcomes: map[uint64]outcome{}}
	return kv.CodeOK
}

// keepAlive returns what is left of each lease, 0 if there is none. A lease that is due and has
// not expired yet lives on.
func (m *Machine) keepAlive(ids []int64) (ttls []int64) {
	for _, id := range ids {
		l := m.leases[id]
		if l == nil {
			ttls = append(ttls, 0)
			continue
		}
		l.expiry, l.ticks = m.end(l.ttl), 0
		ttls = append(ttls, l.ttl)
	}
	return ttls
}

// stamped tells whether a command says what time it is.
func stamped(c state.Command) bool { return c.More.Stamp != logtime.Stamp{} }

// float lets leases count from the second Tick on that follows. They have no end until then.
func (m *Machine) float(ids []int64) {
	for _, id := range ids {
		if l := m.leases[id]; l != nil {
			l.ticks, l.expiry = 2, math.MaxInt64
		}
	}
}

// settle is what a Tick does with leases that float.
func (m *Machine) settle() {
	for _, l := range m.leases {
		if l.ticks == 1 {
			l.expiry = m.end(l.ttl)
		}
		l.ticks = max(0, l.ticks-1)
	}
}

// attached returns the keys that hang on a lease, in their order.
func (m *Machine) attached(id int64) (keys []string) {
	for _, e := range m.keys(kv.Span{}, now) {
		if e.Lease == id {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

// revoke ends a lease. All its keys go in one revision. It returns how many. Nothing here has the 1.9 GiB of keys beyond
// which the store takes several revisions: a test of package kv sees to these.
func (m *Machine) revoke(id int64) int {
	keys := m.attached(id)
	delete(m.leases, id)
	c := m.begin()
	for _, key := range keys {
		c.delete(key)
	}
	c.commit()
	return len(keys)
}

// tick ends the leases that are due at a time, the earliest first, until it has done enough. The
// time is that of the Tick itself and not the machine's: its leader had all keep-alives up to
// then.
func (m *Machine) tick(at int64) {
	due := slices.DeleteFunc(slices.Collect(maps.Values(m.leases)), func(l *lease) bool { return l.expiry > at })
	slices.SortFunc(due, func(a, b *lease) int {
		return cmp.Or(cmp.Compare(a.expiry, b.expiry), cmp.Compare(a.id, b.id))
	})
	spent := 0
	for _, l := range due {
		if m.limits.TickBudget > 0 && spent >= m.limits.TickBudget {
			return
		}
		spent += 1 + m.revoke(l.id)
	}
}

// NextExpiry and LastExpiry return when the first and the last of the leases end, false if there
// is none.
func (m *Machine) NextExpiry() (at int64, ok bool) { return m.expiries(slices.Min[[]int64]) }
func (m *Machine) LastExpiry() (at int64, ok bool) { return m.expiries(slices.Max[[]int64]) }

func (m *Machine) expiries(choose func([]int64) int64) (at int64, ok bool) {
	var all []int64
	for _, l := range m.leases {
		if l.ticks > 0 {
			all = append(all, m.end(l.ttl)) // or later
		} else {
			all = append(all, l.expiry)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	return choose(all), true
}
