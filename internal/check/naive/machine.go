package naive

import (
	"maps"
	"slices"

	"balsa.example/kv"
	"balsa.example/state"
)

// Limits bound what one command does. 0 means no limit.
type Limits struct {
	// TickBudget ends a Tick when it has ended so many leases and deleted so many keys, together.
	TickBudget int
	// LeaseKeys is how many keys may hang on a lease.
	LeaseKeys int
	// Window is how far the numbers of a session reach that are not forgotten, from the highest.
	Window uint64
}

// Machine is the naive replicated machine. It forgets no outcome of a session for want of room.
type Machine struct {
	store
	limits Limits
	leases map[int64]*lease
	clock  int64 // the latest log time that a command carried
	quota  int64
	wall   int64            // the latest wall time that a command carried, in milliseconds
	walls  map[uint64]int64 // of each revision
	users  users
	alarms alarms
}

// outcome is what a session remembers.
type outcome struct {
	result state.Result
	doneAt uint64
}

// New returns a machine at revision 1.
func New(limits Limits) *Machine {
	return &Machine{
		store: store{past: map[string][]kv.Event{}}, limits: limits, leases: map[int64]*lease{}, walls: map[uint64]int64{}, users: newUsers(),
		alarms: alarms{raised: map[state.Alarm]bool{}},
	}
}

// DoOp executes a command.
func (m *Machine) DoOp(c state.Command) state.Result {
	if c.More == nil {
		return m.execute(c)
	}
	m.clock = max(m.clock, int64(c.More.Stamp.Log))
	m.wall = max(m.wall, c.More.Stamp.Wall/1e6)
	id, seq := c.More.Session.ID, c.More.Session.Seq
	if id == 0 {
		return m.execute(c)
	}
	if code := m.permits(c); code == kv.CodeNoUser || code == kv.CodeInvalidToken || code != kv.CodeOK && m.unknown(c) {
		return m.result(code)
	}
	l := m.leases[id]
	if l == nil || !l.session {
		return m.result(kv.CodeForgotten)
	}
	if seq <= max(l.floor, c.More.Session.Acked) {
		return m.result(kv.CodeForgotten)
	}
	l.floor = max(l.floor, c.More.Session.Acked)
	if m.limits.Window > 0 && seq > m.limits.Window {
		l.floor = max(l.floor, seq-m.limits.Window)
	}
	maps.DeleteFunc(l.outcomes, func(s uint64, _ outcome) bool { return s <= l.floor })
	if o, done := l.outcomes[seq]; done {
		if o.result.Code == kv.CodeOK && m.permits(c) != kv.CodeOK {
			return state.Result{Replayed: true, DoneAt: o.doneAt}
		}
		o.result.Replayed, o.result.DoneAt, o.result.Kept = true, o.doneAt, state.KeptResult
		return o.result
	}
	r := m.execute(c)
	l.outcomes[seq] = outcome{r, m.Revision()}
	return r
}

func (m *Machine) result(code kv.Code) state.Result {
	return state.Result{Result: kv.Result{Code: code, Revision: m.revision()}}
}

func (m *Machine) execute(c state.Command) (r state.Result) {
	if code := m.permits(c); code != kv.CodeOK {
		return m.result(code)
	}
	if code := m.alarmed(c); code != kv.CodeOK {
		return m.result(code)
	}
	if m.overQuota(c) {
		return m.result(kv.CodeQuota)
	}
	before := m.revision()
	defer func() {
		for before < m.revision() {
			before++
			m.walls[before] = m.wall
		}
	}()
	if c.More == nil {
		return state.Result{Result: m.do(c.Op)}
	}
	code := kv.CodeOK
	switch c.More.Kind {
	case state.KindOp:
		return state.Result{Result: m.do(c.Op)}
	case state.KindTxn:
		r.Txn, code = m.txn(c.More.Txn)
	case state.KindCompact:
		code = m.compact(c.More.Revision)
	case state.KindGrant:
		if code = m.grant(c.More.Lease, c.More.TTL, c.More.IsSession); code == kv.CodeOK {
			r.TTL = []int64{c.More.TTL}
			if !stamped(c) {
				m.float([]int64{c.More.Lease})
			}
		}
	case state.KindRevoke:
		if m.leases[c.More.Lease] == nil {
			return m.result(kv.CodeNoLease)
		}
		m.revoke(c.More.Lease)
	case state.KindTick:
		if stamped(c) {
			m.settle()
		}
		r.TTL = m.keepAlive(c.More.Leases)
		switch {
		case !stamped(c):
			m.float(c.More.Leases)
		case !m.alarms.has(state.AlarmCorrupt):
			m.tick(int64(c.More.Stamp.Log))
		}
	case state.KindQuota:
		m.quota = c.More.Quota
	case state.KindAuth:
		code = m.users.change(c.More.Auth)
	case state.KindVersion:
		m.raiseVersion(c.More.Version)
	case state.KindAlarm:
		code = m.changeAlarm(c.More.Alarm)
	default:
		code = kv.CodeUnknownKind
	}
	r.Code, r.Revision = code, m.revision()
	return r
}

// Would returns the events that an operation or a transaction would make now, nil for none and for
// other commands.
func (m *Machine) Would(c state.Command) []kv.Event {
	if c.More != nil && c.More.Kind != state.KindOp && c.More.Kind != state.KindTxn {
		return nil
	}
	before, deleted, resent, refused := len(m.revisions), m.deleted, m.resent, m.alarms.refused
	m.execute(c)
	m.deleted, m.resent, m.alarms.refused = deleted, resent, refused
	if len(m.revisions) == before {
		return nil
	}
	events := m.revisions[before]
	m.revisions = m.revisions[:before]
	for _, e := range events {
		m.past[e.Key] = m.past[e.Key][:len(m.past[e.Key])-1]
	}
	return events
}

// Revision returns the store's revision, and Compacted the first one that can be read.
func (m *Machine) Revision() uint64  { return m.revision() }
func (m *Machine) Compacted() uint64 { return m.compacted }

// Clock returns the log time.
func (m *Machine) Clock() int64 { return m.clock }

// Get reads a key.
func (m *Machine) Get(key string) kv.Result { return m.get(key) }

// Range reads a span.
func (m *Machine) Range(op kv.RangeOp) (kv.RangeResult, kv.Code) {
	if op.Revision > 0 {
		if code := m.readable(op.Revision); code != kv.CodeOK {
			return kv.RangeResult{Revision: m.revision()}, code
		}
	}
	return *m.begin().ranges(&op), kv.CodeOK
}

// Events returns the changes of a revision, in their order, whether it was compacted or not.
// Each has what its key held before.
func (m *Machine) Events(revision uint64) []kv.Event {
	if revision < 2 || revision > m.revision() {
		return nil
	}
	return m.revisions[revision-2]
}

// Lease returns a lease's length, when it ends, and the keys that hang on it.
func (m *Machine) Lease(id int64) (ttl, expiry int64, keys []string, ok bool) {
	l := m.leases[id]
	if l == nil {
		return 0, 0, nil, false
	}
	return l.ttl, l.expiry, m.attached(id), true
}

// IsSession tells whether a lease is a session.
func (m *Machine) IsSession(id int64) bool { return m.leases[id] != nil && m.leases[id].session }

// Leases returns the ids of all leases, in their order.
func (m *Machine) Leases() []int64 { return slices.Sorted(maps.Keys(m.leases)) }
