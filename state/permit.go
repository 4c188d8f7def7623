package state

import (
	"sync/atomic"

	"balsa.example/kv"
	"balsa.example/state/auth"
)

// users are those of the replica as they are now. Readers see them while commands are executed.
type users struct{ now atomic.Pointer[usersNow] }

// usersNow is one Table, until another one has replaced it.
type usersNow struct {
	*auth.Table
	replaced chan struct{} // is closed then
}

func (u *users) set(t *auth.Table) {
	if old := u.now.Swap(&usersNow{t, make(chan struct{})}); old != nil {
		close(old.replaced)
	}
}

func (u *users) table() *auth.Table { return u.now.Load().Table }

// Auth returns the users and roles as they are now on this replica, and a channel that is closed
// when there are others.
func (m *Machine) Auth() (t *auth.Table, replaced <-chan struct{}) {
	now := m.present.Load().users.now.Load()
	return now.Table, now.replaced
}

// changeUsers executes a KindAuth.
func (p *present) changeUsers(c *auth.Change) Result {
	if c == nil {
		return p.refusal(kv.CodeInvalid)
	}
	old := p.users.table()
	next, code := old.Do(*c)
	if next != old {
		p.users.set(next)
	}
	return p.refusal(code)
}

// admits tells whether a command names a user, while authentication is on.
func (p *present) admits(m *More) kv.Code {
	t := p.users.table()
	if !t.Enabled() || m.Internal || m.Kind == KindTick {
		return kv.CodeOK
	}
	_, code := t.Admit(m.User, m.UserStamp)
	return code
}

// permits tells whether the user that a command names may do what it does: kv.CodeOK, or why not.
// This is the one place where writes are decided, on each replica alike and at the command's place
// in the log. Whatever is not allowed here by name is for users with the role root only.
func (p *present) permits(c Command) kv.Code {
	t := p.users.table()
	m := c.More
	switch {
	case !t.Enabled():
		return kv.CodeOK
	case m.Internal || m.Kind == KindTick: // no client can send them
		return kv.CodeOK
	}
	u, code := t.Admit(m.User, m.UserStamp)
	if code != kv.CodeOK || u.Root() {
		return code
	}
	allowed := false
	switch m.Kind {
	case KindOp:
		allowed = t.Permitted(u, kv.Single(c.Op.Key), c.Op.Kind != kv.Get)
	case KindTxn:
		allowed = m.Txn == nil || t.PermittedTxn(u, m.Txn, p.leases.NextKey)
	case KindGrant:
		allowed = true
	case KindRevoke:
		allowed = t.PermittedLease(u, m.Lease, p.leases.NextKey)
	}
	if !allowed {
		return kv.CodePermissionDenied
	}
	return kv.CodeOK
}
