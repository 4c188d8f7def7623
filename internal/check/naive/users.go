package naive

import (
	"cmp"
	"maps"
	"slices"

	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// users are all users and roles, in maps.
type users struct {
	enabled  bool
	revision uint64
	users    map[string]user
	roles    map[string][]auth.Permission // in any order
}

type user struct {
	roles      []string // in any order
	hash       string
	noPassword bool
	stamp      uint64
}

func newUsers() users {
	return users{revision: 1, users: map[string]user{}, roles: map[string][]auth.Permission{}}
}

func (u *users) clone() users {
	return users{u.enabled, u.revision, maps.Clone(u.users), maps.Clone(u.roles)}
}

// change executes a change of users and roles. It has none of the limits.
func (u *users) change(c *auth.Change) kv.Code {
	if c == nil {
		return kv.CodeInvalid
	}
	of, known := u.users[c.User]
	permissions, isRole := u.roles[c.Role]
	same := func(p auth.Permission) bool { return p.Key == c.Permission.Key && p.End == c.Permission.End }
	needsUser := c.Kind >= auth.UserDelete && c.Kind <= auth.UserRevoke
	needsRole := c.Kind >= auth.RoleDelete && c.Kind <= auth.RoleRevoke
	switch {
	case c.Kind == 0 || c.Kind > auth.RoleRevoke:
		return kv.CodeUnknownKind
	case u.enabled && c.User == "root" && (c.Kind == auth.UserDelete || c.Kind == auth.UserRevoke && c.Role == "root"),
		u.enabled && c.Role == "root" && c.Kind == auth.RoleDelete,
		c.Kind == auth.RoleGrant && badSpan(c.Permission):
		return kv.CodeAuthChange
	case c.Kind == auth.UserAdd && c.User == "":
		return kv.CodeNoUser
	case c.Kind == auth.UserAdd && known:
		return kv.CodeUserExists
	case c.Kind == auth.RoleAdd && c.Role == "":
		return kv.CodeNoRole
	case c.Kind == auth.RoleAdd && isRole:
		return kv.CodeRoleExists
	case needsUser && !known:
		return kv.CodeUserNotFound
	case needsRole && !isRole, c.Kind == auth.UserGrant && c.Role != "root" && !isRole:
		return kv.CodeRoleNotFound
	case c.Kind == auth.UserRevoke && !slices.Contains(of.roles, c.Role):
		return kv.CodeRoleNotGranted
	case c.Kind == auth.RoleRevoke && !slices.ContainsFunc(permissions, same):
		return kv.CodePermissionNotGranted
	case c.Kind == auth.Enable && !u.enabled && !hasKey(u.users, "root"):
		return kv.CodeNoRootUser
	case c.Kind == auth.Enable && !u.enabled && !u.users["root"].root():
		return kv.CodeNoRootRole
	case c.Kind == auth.Enable && !u.enabled && len(c.Secret) == 0:
		return kv.CodeInvalid
	}
	if u.apply(c, same) {
		u.revision++
	}
	return kv.CodeOK
}

func hasKey[V any](m map[string]V, key string) bool {
	_, ok := m[key]
	return ok
}

func badSpan(p auth.Permission) bool {
	return p.Key == "" || p.Access > auth.ReadWrite || p.End != "" && p.End != "\x00" && p.End <= p.Key
}

// apply makes a change that nothing refuses. It tells whether the auth revision counts it.
func (u *users) apply(c *auth.Change, same func(auth.Permission) bool) bool {
	of := u.users[c.User]
	of.roles = slices.Clone(of.roles)
	switch c.Kind {
	case auth.Enable:
		u.enabled = true
		return false
	case auth.Disable:
		was := u.enabled
		u.enabled = false
		return was
	case auth.UserAdd:
		of = user{hash: string(c.Hash), noPassword: c.NoPassword, stamp: u.revision + 1}
	case auth.UserDelete:
		delete(u.users, c.User)
		return true
	case auth.UserPassword:
		of.hash, of.stamp = string(c.Hash), u.revision+1
	case auth.UserGrant:
		if slices.Contains(of.roles, c.Role) {
			return false
		}
		of.roles = append(of.roles, c.Role)
	case auth.UserRevoke:
		of.roles = slices.DeleteFunc(of.roles, func(r string) bool { return r == c.Role })
	default:
		u.applyRole(c, same)
		return true
	}
	u.users[c.User] = of
	return true
}

func (u *users) applyRole(c *auth.Change, same func(auth.Permission) bool) {
	permissions := slices.DeleteFunc(slices.Clone(u.roles[c.Role]), same)
	switch c.Kind {
	case auth.RoleGrant:
		permissions = append(permissions, c.Permission)
	case auth.RoleDelete:
		delete(u.roles, c.Role)
		for name, of := range u.users {
			of.roles = slices.DeleteFunc(slices.Clone(of.roles), func(r string) bool { return r == c.Role })
			u.users[name] = of
		}
		return
	}
	u.roles[c.Role] = permissions
}

func (of user) root() bool { return slices.Contains(of.roles, "root") }

// may tells whether a user may read, or write, all keys of a span. What allows a key allows those
// behind it up to the end of a permission. So the first key decides, and those at such ends.
func (u *users) may(name string, span kv.Span, write bool) bool {
	of := u.users[name]
	if of.root() {
		return true
	}
	var spans []kv.Span
	for _, role := range of.roles {
		for _, p := range u.roles[role] {
			if p.Access == auth.ReadWrite || (p.Access == auth.Write) == write {
				spans = append(spans, p.Span())
			}
		}
	}
	check := []string{max(span.From, "\x00")}
	for _, s := range spans {
		if s.To > check[0] && (span.To == "" || s.To < span.To) {
			check = append(check, s.To)
		}
	}
	for _, key := range check {
		if !slices.ContainsFunc(spans, func(s kv.Span) bool { return s.Contains(key) }) {
			return false
		}
	}
	return true
}

// permits tells whether a command may be executed.
func (m *Machine) permits(c state.Command) kv.Code {
	u := &m.users
	switch {
	case !u.enabled:
		return kv.CodeOK
	case c.More == nil:
		return kv.CodeNoUser
	case c.More.Internal || c.More.Kind == state.KindTick:
		return kv.CodeOK
	case c.More.User == "":
		return kv.CodeNoUser
	}
	name, stamp := c.More.User, c.More.UserStamp
	of, known := u.users[name]
	if !known && stamp == auth.ByCertificate {
		return kv.CodePermissionDenied
	}
	if !known || stamp < of.stamp {
		return kv.CodeInvalidToken
	}
	allowed := of.root()
	switch c.More.Kind {
	case state.KindOp:
		allowed = u.may(name, kv.Single(c.Op.Key), c.Op.Kind != kv.Get)
	case state.KindTxn:
		allowed = c.More.Txn == nil || m.mayTxn(name, c.More.Txn)
	case state.KindGrant:
		allowed = true
	case state.KindRevoke:
		allowed = m.mayEnd(name, c.More.Lease)
	}
	if !allowed {
		return kv.CodePermissionDenied
	}
	return kv.CodeOK
}

// unknown tells whether there is no such user as a command names.
func (m *Machine) unknown(c state.Command) bool {
	_, known := m.users.users[c.More.User]
	return !known
}

func (m *Machine) mayTxn(name string, t *kv.Txn) bool {
	for _, c := range t.If {
		if !m.users.may(name, c.Span, false) {
			return false
		}
	}
	for _, op := range slices.Concat(t.Then, t.Else) {
		allowed := true
		switch {
		case op.Range != nil:
			allowed = m.users.may(name, op.Range.Span, false)
		case op.Put != nil:
			key := kv.Single(op.Put.Key)
			allowed = m.users.may(name, key, true) && (!op.Put.Prev || m.users.may(name, key, false)) && m.mayEnd(name, op.Put.Lease)
		case op.Delete != nil:
			allowed = m.users.may(name, op.Delete.Span, true) && (!op.Delete.Prev || m.users.may(name, op.Delete.Span, false))
		case op.Txn != nil:
			allowed = m.mayTxn(name, op.Txn)
		}
		if !allowed {
			return false
		}
	}
	return true
}

// mayEnd tells whether a user may write every key that hangs on a lease.
func (m *Machine) mayEnd(name string, id int64) bool {
	if id == 0 {
		return true
	}
	return !slices.ContainsFunc(m.attached(id), func(key string) bool { return !m.users.may(name, kv.Single(key), true) })
}

// DifferUsers tells how users and roles differ from the naive ones, "" if they do not.
func (m *Machine) DifferUsers(got *auth.Table) string {
	want := &m.users
	type view struct {
		Enabled  bool
		Revision uint64
		Users    []auth.User
		Roles    []auth.Role
	}
	a, b := view{Enabled: got.Enabled(), Revision: got.Revision()}, view{Enabled: want.enabled, Revision: want.revision}
	for _, u := range got.Users() {
		a.Users = append(a.Users, *u)
	}
	for _, r := range got.Roles() {
		a.Roles = append(a.Roles, auth.Role{Name: r.Name, Permissions: r.Permissions})
	}
	for _, name := range slices.Sorted(maps.Keys(want.users)) {
		of := want.users[name]
		u := auth.User{Name: name, NoPassword: of.noPassword, Roles: slices.Sorted(slices.Values(of.roles)), Stamp: of.stamp}
		if !of.noPassword {
			u.Hash = []byte(of.hash)
		}
		b.Users = append(b.Users, u)
	}
	for _, name := range slices.Sorted(maps.Keys(want.roles)) {
		permissions := slices.Clone(want.roles[name])
		slices.SortFunc(permissions, func(p, q auth.Permission) int {
			return cmp.Or(cmp.Compare(p.Key, q.Key), cmp.Compare(p.End, q.End))
		})
		b.Roles = append(b.Roles, auth.Role{Name: name, Permissions: permissions})
	}
	return differ(a, b)
}
