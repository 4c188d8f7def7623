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
	r := rights{p, t, u}
	allowed := false
	switch m.Kind {
	case KindOp:
		allowed = t.Permitted(u, kv.Single(c.Op.Key), c.Op.Kind != kv.Get)
	case KindTxn:
		allowed = m.Txn == nil || r.txn(m.Txn)
	case KindGrant:
		allowed = true
	case KindRevoke:
		allowed = r.lease(m.Lease)
	}
	if !allowed {
		return kv.CodePermissionDenied
	}
	return kv.CodeOK
}

// rights are those of one user.
type rights struct {
	p *present
	t *auth.Table
	u *auth.User
}

func (r *rights) read(span kv.Span) bool  { return r.t.Permitted(r.u, span, false) }
func (r *rights) write(span kv.Span) bool { return r.t.Permitted(r.u, span, true) }

// txn tells whether the user may do all of a transaction, whichever list is executed.
func (r *rights) txn(t *kv.Txn) bool {
	for i := range t.If {
		if !r.read(t.If[i].Span) {
			return false
		}
	}
	for _, ops := range [][]kv.TxnOp{t.Then, t.Else} {
		for i := range ops {
			if !r.op(&ops[i]) {
				return false
			}
		}
	}
	return true
}

func (r *rights) op(op *kv.TxnOp) bool {
	switch {
	case op.Range != nil:
		return r.read(op.Range.Span)
	case op.Put != nil:
		key := kv.Single(op.Put.Key)
		return r.write(key) && (!op.Put.Prev || r.read(key)) && r.lease(op.Put.Lease)
	case op.Delete != nil:
		return r.write(op.Delete.Span) && (!op.Delete.Prev || r.read(op.Delete.Span))
	case op.Txn != nil:
		return r.txn(op.Txn)
	}
	return true // the store refuses it
}

// lease tells whether the user may write all keys that hang on a lease, and so let it end. A key
// may only be put on such a lease: otherwise whoever may end the lease could delete that key.
func (r *rights) lease(id int64) bool {
	if id == 0 {
		return true
	}
	leases := &r.p.leases
	leases.mu.Lock()
	defer leases.mu.Unlock()
	next := func(from string) (string, bool) { return leases.table.NextKey(id, from) }
	return r.t.PermittedAll(r.u, next, true)
}
