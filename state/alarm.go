package state

import (
	"cmp"
	"slices"
	"sync/atomic"

	"balsa.example/kv"
)

// Alarm is raised by a request, about a member or, where Member is 0, the whole cluster. All members know
// of it, and it lasts until a request lifts it, as in etcd. Alarms that balsa raises by itself end with
// their cause: see Figures.AtQuota and rsm.Status.Diverged.
type Alarm struct {
	Member uint64
	Kind   AlarmKind
}

// AlarmKind says what is wrong. The numbers are etcd's. Other kinds can be raised as well, and refuse nothing.
type AlarmKind uint32

const (
	// AlarmNoSpace refuses what may add data: puts, transactions with a put in either list, new leases.
	AlarmNoSpace AlarmKind = 1
	// AlarmCorrupt refuses whatever changes keys or leases. Leases are kept alive, and none ends. Reads go
	// on.
	AlarmCorrupt AlarmKind = 2
)

// AlarmChange raises an alarm, or lifts one.
type AlarmChange struct {
	Alarm
	Lift bool
}

// MaxAlarms bounds how many alarms are raised at a time.
const MaxAlarms = 256

// alarms are those that are raised. Readers see them while commands are executed.
type alarms struct {
	// raised is in rising order, and is never changed, but replaced.
	raised atomic.Pointer[[]Alarm]
	// noSpace and corrupt tell whether there is one of that kind.
	noSpace, corrupt atomic.Bool
}

func (a *alarms) list() []Alarm {
	if list := a.raised.Load(); list != nil {
		return *list
	}
	return nil
}

func (a *alarms) set(list []Alarm) {
	has := func(kind AlarmKind) bool {
		return slices.ContainsFunc(list, func(one Alarm) bool { return one.Kind == kind })
	}
	a.raised.Store(&list)
	a.noSpace.Store(has(AlarmNoSpace))
	a.corrupt.Store(has(AlarmCorrupt))
}

func (a Alarm) compare(b Alarm) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Member, b.Member))
}

// change executes a KindAlarm. Raising an alarm that is raised changes nothing.
func (a *alarms) change(c AlarmChange) kv.Code {
	list := a.list()
	at, raised := slices.BinarySearchFunc(list, c.Alarm, Alarm.compare)
	switch {
	case c.Kind == 0:
		return kv.CodeInvalid
	case c.Lift && !raised:
		return kv.CodeNoAlarm
	case c.Lift:
		a.set(slices.Delete(slices.Clone(list), at, at+1))
	case raised:
	case len(list) >= MaxAlarms:
		return kv.CodeTooManyAlarms
	default:
		a.set(slices.Insert(slices.Clone(list), at, c.Alarm))
	}
	return kv.CodeOK
}

// refuse tells whether an alarm refuses a command: kv.CodeOK, or why.
func (a *alarms) refuse(c *Command) kv.Code {
	switch noSpace, corrupt := a.noSpace.Load(), a.corrupt.Load(); {
	case corrupt && c.changes():
		return kv.CodeCorrupt
	case noSpace && c.adds():
		return kv.CodeNoSpace
	}
	return kv.CodeOK
}

// adds tells whether a command may add data.
func (c *Command) adds() bool {
	switch c.kind() {
	case KindOp:
		return c.Op.Kind == kv.Put
	case KindTxn:
		return c.More.Txn != nil && txnBytes(c.More.Txn) > 0
	case KindGrant:
		return true
	}
	return false
}

// changes tells whether a command may change keys or leases. Ticks only do when they end leases.
func (c *Command) changes() bool {
	switch c.kind() {
	case KindOp:
		return c.Op.Kind != kv.Get
	case KindTxn:
		return c.More.Txn != nil && !c.More.Txn.ReadsOnly()
	case KindCompact, KindGrant, KindRevoke:
		return true
	}
	return false
}

func (c *Command) kind() Kind {
	if c.More == nil {
		return KindOp
	}
	return c.More.Kind
}

// numbers are what hashes and files have of alarms.
func (a *alarms) numbers() []uint64 {
	var numbers []uint64
	for _, one := range a.list() {
		numbers = append(numbers, uint64(one.Kind), one.Member)
	}
	return numbers
}

// Alarms returns the alarms that are raised, in rising order of kinds and members. The list must not be
// changed.
func (m *Machine) Alarms() []Alarm { return m.present.Load().alarms.list() }
