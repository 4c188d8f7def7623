package naive

import (
	"maps"

	"balsa.example/kv"
	"balsa.example/state"
)

// alarms are those that are raised, and what the quota has refused last.
type alarms struct {
	raised  map[state.Alarm]bool
	refused int64
	version uint64 // of the cluster
}

func (a alarms) clone() alarms {
	a.raised = maps.Clone(a.raised)
	return a
}

func (a *alarms) has(kind state.AlarmKind) bool {
	for alarm := range a.raised {
		if alarm.Kind == kind {
			return true
		}
	}
	return false
}

// Alarms returns the alarms that are raised, and whether the store is at its quota.
func (m *Machine) Alarms() (raised map[state.Alarm]bool, atQuota bool) {
	bytes, refused := m.bytes(), m.alarms.refused
	return m.alarms.raised, m.quota > 0 && (bytes >= m.quota || refused > 0 && bytes+refused > m.quota)
}

// AlarmRaised tells whether there is an alarm of a kind.
func (m *Machine) AlarmRaised(kind state.AlarmKind) bool { return m.alarms.has(kind) }

// alarmed is why an alarm refuses a command.
func (m *Machine) alarmed(c state.Command) kv.Code {
	kind := state.KindOp
	if c.More != nil {
		kind = c.More.Kind
	}
	puts, writes := false, false
	switch kind {
	case state.KindOp:
		puts, writes = c.Op.Kind == kv.Put, c.Op.Kind == kv.Put || c.Op.Kind == kv.Delete
	case state.KindTxn:
		if c.More.Txn != nil {
			puts, writes = adds(c.More.Txn)
		}
	case state.KindGrant:
		puts, writes = true, true
	case state.KindRevoke, state.KindCompact:
		writes = true
	}
	switch {
	case writes && m.alarms.has(state.AlarmCorrupt):
		return kv.CodeCorrupt
	case puts && m.alarms.has(state.AlarmNoSpace):
		return kv.CodeNoSpace
	}
	return kv.CodeOK
}

// adds tells whether a transaction has a put in either list, and whether it has anything but ranges.
func adds(t *kv.Txn) (puts, writes bool) {
	for _, op := range append(append([]kv.TxnOp{}, t.Then...), t.Else...) {
		nested := false
		if op.Txn != nil {
			nested, _ = adds(op.Txn)
		}
		puts = puts || op.Put != nil || nested
		writes = writes || op.Range == nil
	}
	return puts, writes
}

func (m *Machine) changeAlarm(c state.AlarmChange) kv.Code {
	_, atQuota := m.Alarms()
	was := m.alarms.raised[c.Alarm]
	switch {
	case c.Kind == 0:
		return kv.CodeInvalid
	case c.Lift:
		delete(m.alarms.raised, c.Alarm)
		if atQuota && c.Kind == state.AlarmNoSpace && c.Member == 0 {
			m.alarms.refused, was = 0, true
		}
		if !was {
			return kv.CodeNoAlarm
		}
	default:
		m.alarms.raised[c.Alarm] = true
	}
	return kv.CodeOK
}

// Quota is the one that is set, 0 for none.
func (m *Machine) Quota() int64 { return m.quota }

// Version is that of commands which the cluster uses, 0 if it was never raised.
func (m *Machine) Version() uint64 { return m.alarms.version }

func (m *Machine) raiseVersion(version uint64) {
	const replicated = 3 // since then all have what the quota refused
	if m.alarms.version < replicated && version >= replicated {
		m.alarms.refused = 0
	}
	m.alarms.version = max(m.alarms.version, version)
}
