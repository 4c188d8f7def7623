package state

import (
	"time"

	"balsa.example/kv"
	"balsa.example/state/auth"
)

// CommandNames are what commands are called where they are counted: as in etcd, for those that it has. A transaction
// of one operation without a condition is called by that.
var CommandNames = []string{
	nameRange: "Range", namePut: "Put", nameDelete: "DeleteRange", nameTxn: "Txn", nameCompact: "Compaction",
	nameGrant: "LeaseGrant", nameRevoke: "LeaseRevoke", nameAlarm: "Alarm", nameOther: "unknown",
	nameTick: "Tick", nameQuota: "Quota", nameVersion: "ClusterVersionSet",
	nameAuth + int(auth.Enable): "AuthEnable", nameAuth + int(auth.Disable): "AuthDisable",
	nameAuth + int(auth.UserAdd): "AuthUserAdd", nameAuth + int(auth.UserDelete): "AuthUserDelete",
	nameAuth + int(auth.UserPassword): "AuthUserChangePassword",
	nameAuth + int(auth.UserGrant):    "AuthUserGrantRole", nameAuth + int(auth.UserRevoke): "AuthUserRevokeRole",
	nameAuth + int(auth.RoleAdd): "AuthRoleAdd", nameAuth + int(auth.RoleDelete): "AuthRoleDelete",
	nameAuth + int(auth.RoleGrant): "AuthRoleGrantPermission", nameAuth + int(auth.RoleRevoke): "AuthRoleRevokePermission",
}

const (
	nameRange = iota
	namePut
	nameDelete
	nameTxn
	nameCompact
	nameGrant
	nameRevoke
	nameTick
	nameQuota
	nameVersion
	nameAlarm
	nameOther
	nameAuth = nameOther // and an auth.ChangeKind
	maxNames = nameAuth + int(auth.RoleRevoke) + 1
)

// name is the place of a command in CommandNames.
func (c *Command) name() int {
	if c.More == nil {
		return nameOfOp(c.Op.Kind)
	}
	switch m := c.More; m.Kind {
	case KindOp:
		return nameOfOp(c.Op.Kind)
	case KindTxn:
		return nameOfTxn(m.Txn)
	case KindCompact:
		return nameCompact
	case KindGrant:
		return nameGrant
	case KindRevoke:
		return nameRevoke
	case KindTick:
		return nameTick
	case KindQuota:
		return nameQuota
	case KindVersion:
		return nameVersion
	case KindAlarm:
		return nameAlarm
	case KindAuth:
		if m.Auth != nil && m.Auth.Kind <= auth.RoleRevoke {
			return nameAuth + int(m.Auth.Kind)
		}
	}
	return nameOther
}

func nameOfOp(kind kv.OpKind) int {
	switch kind {
	case kv.Get:
		return nameRange
	case kv.Put:
		return namePut
	case kv.Delete:
		return nameDelete
	}
	return nameOther
}

func nameOfTxn(t *kv.Txn) int {
	if t == nil || len(t.If) > 0 || len(t.Then) != 1 {
		return nameTxn
	}
	switch op := &t.Then[0]; {
	case op.Put != nil:
		return namePut
	case op.Delete != nil:
		return nameDelete
	case op.Range != nil:
		return nameRange
	}
	return nameTxn
}

// executed are commands since the last Took, by their names and whether they were taken.
type executed struct {
	counts [maxNames][2]int
	seen   []uint8 // the names and, in the lowest bit, the outcomes that were counted
	all    int
}

func (e *executed) add(name int, code kv.Code) {
	taken := 0
	if isTaken(code) {
		taken = 1
	}
	n := &e.counts[name][taken]
	if *n == 0 {
		e.seen = append(e.seen, uint8(2*name+taken))
	}
	*n++
	e.all++
}

// isTaken tells whether a command was executed, and not refused. Nothing is wrong if its condition does not hold, or
// if what it was to forget is forgotten.
func isTaken(code kv.Code) bool {
	switch code {
	case kv.CodeOK, kv.CodeVersion, kv.CodeNoKey, kv.CodeChanged, kv.CodeCompacted:
		return true
	}
	return false
}

// Took is part of rsm.Timed.
func (m *Machine) Took(all time.Duration) {
	e := m.executed
	if e == nil || e.all == 0 {
		return
	}
	each := all / time.Duration(e.all)
	for _, of := range e.seen {
		n := &e.counts[of/2][of%2]
		m.cfg.OnExecuted(int(of/2), of%2 == 1, *n, each)
		*n = 0
	}
	e.seen, e.all = e.seen[:0], 0
}
