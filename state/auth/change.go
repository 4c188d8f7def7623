package auth

import (
	"bytes"
	"slices"
	"strings"

	"balsa.example/kv"
)

// ChangeKind says what a Change does. The numbers stand in the log.
type ChangeKind uint8

const (
	Enable       ChangeKind = iota + 1
	Disable                 // makes all tokens invalid, too
	UserAdd                 // User, Hash, NoPassword
	UserDelete              // User
	UserPassword            // User, Hash
	UserGrant               // User, Role
	UserRevoke              // User, Role
	RoleAdd                 // Role
	RoleDelete              // Role; takes it from all users
	RoleGrant               // Role, Permission: one over the same span is replaced
	RoleRevoke              // Role, Permission.Key and End
	endOfChanges
)

// Change is one change of users and roles.
type Change struct {
	Kind       ChangeKind
	User, Role string
	Hash       []byte
	NoPassword bool
	Permission Permission
	Secret     []byte // of Enable: that of the tokens from now on
}

// Do returns the Table after a change, or the same Table and why the change is refused. The same
// changes give the same Tables on every replica. Nothing of the change's memory is kept, which may
// be that of a whole batch of commands.
func (t *Table) Do(c Change) (*Table, kv.Code) {
	next := *t
	code := kv.CodeUnknownKind
	if c.Kind > 0 && c.Kind < endOfChanges {
		code = next.do(c)
	}
	if code == kv.CodeOK && next.bytes > MaxBytes && next.bytes > t.bytes {
		code = kv.CodeAuthLimit
	}
	if code != kv.CodeOK {
		return t, code
	}
	return &next, kv.CodeOK
}

func (t *Table) do(c Change) kv.Code {
	switch c.Kind {
	case Enable:
		return t.enable(c.Secret)
	case Disable:
		if t.enabled {
			t.enabled, t.secret = false, nil
			t.revision++
		}
		return kv.CodeOK
	case UserAdd:
		return t.addUser(c)
	case RoleAdd:
		return t.addRole(c.Role)
	case RoleDelete, RoleGrant, RoleRevoke:
		return t.changeRole(c)
	}
	return t.changeUser(c)
}

func (t *Table) enable(secret []byte) kv.Code {
	if t.enabled {
		return kv.CodeOK
	}
	switch root := t.User(RootName); {
	case root == nil:
		return kv.CodeNoRootUser
	case !root.Root():
		return kv.CodeNoRootRole
	case len(secret) == 0 || len(secret) > maxSecretBytes:
		return kv.CodeInvalid
	}
	t.enabled, t.secret = true, bytes.Clone(secret)
	return kv.CodeOK
}

func (t *Table) addUser(c Change) kv.Code {
	switch {
	case c.User == "":
		return kv.CodeNoUser
	case len(c.User) > MaxNameBytes || len(c.Hash) > maxHashBytes:
		return kv.CodeAuthLimit
	case t.User(c.User) != nil:
		return kv.CodeUserExists
	}
	u := &User{Name: strings.Clone(c.User), NoPassword: c.NoPassword, Stamp: t.revision + 1}
	if !c.NoPassword {
		u.Hash = bytes.Clone(c.Hash)
	}
	t.setUser(u)
	return t.changed()
}

func (t *Table) changeUser(c Change) kv.Code {
	if t.enabled && c.User == RootName && (c.Kind == UserDelete || c.Kind == UserRevoke && c.Role == RootName) {
		return kv.CodeAuthChange
	}
	old := t.User(c.User)
	if old == nil {
		return kv.CodeUserNotFound
	}
	u := *old
	switch c.Kind {
	case UserDelete:
		t.dropUser(old)
		return t.changed()
	case UserPassword:
		if len(c.Hash) > maxHashBytes {
			return kv.CodeAuthLimit
		}
		if u.Stamp = t.revision + 1; !u.NoPassword {
			u.Hash = bytes.Clone(c.Hash)
		}
	case UserGrant:
		at, has := slices.BinarySearch(u.Roles, c.Role)
		switch {
		case c.Role != RootName && t.Role(c.Role) == nil:
			return kv.CodeRoleNotFound
		case has:
			return kv.CodeOK
		case len(u.Roles) >= MaxRoles:
			return kv.CodeAuthLimit
		}
		u.Roles = slices.Insert(slices.Clone(u.Roles), at, strings.Clone(c.Role))
	case UserRevoke:
		if !u.Has(c.Role) {
			return kv.CodeRoleNotGranted
		}
		u.Roles = without(u.Roles, c.Role)
	}
	t.setUser(&u)
	return t.changed()
}

func (t *Table) addRole(name string) kv.Code {
	switch {
	case name == "":
		return kv.CodeNoRole
	case len(name) > MaxNameBytes:
		return kv.CodeAuthLimit
	case t.Role(name) != nil:
		return kv.CodeRoleExists
	}
	t.setRole(newRole(strings.Clone(name), nil))
	return t.changed()
}

func (t *Table) changeRole(c Change) kv.Code {
	if t.enabled && c.Kind == RoleDelete && c.Role == RootName || c.Kind == RoleGrant && !c.Permission.valid() {
		return kv.CodeAuthChange
	}
	old := t.Role(c.Role)
	if old == nil {
		return kv.CodeRoleNotFound
	}
	permissions := slices.Clone(old.Permissions)
	at, has := slices.BinarySearchFunc(permissions, c.Permission, compareSpans)
	switch c.Kind {
	case RoleDelete:
		t.dropRole(old)
		return t.changed()
	case RoleGrant:
		p := c.Permission
		p.Key, p.End = strings.Clone(p.Key), strings.Clone(p.End)
		switch {
		case has:
			permissions[at] = p
		case len(permissions) >= MaxPermissions || len(p.Key)+len(p.End) > maxKeyBytes:
			return kv.CodeAuthLimit
		default:
			permissions = slices.Insert(permissions, at, p)
		}
	case RoleRevoke:
		if !has {
			return kv.CodePermissionNotGranted
		}
		permissions = slices.Delete(permissions, at, at+1)
	}
	t.setRole(newRole(old.Name, permissions))
	return t.changed()
}

func (t *Table) changed() kv.Code {
	t.revision++
	return kv.CodeOK
}

func (t *Table) setUser(u *User) {
	t.users = slices.Clone(t.users) // other Tables have the slice
	at, has := findUser(t.users, u.Name)
	if has {
		t.count(t.users[at].hash(), t.users[at].bytes(), -1)
		t.users[at] = u
	} else {
		t.users = slices.Insert(t.users, at, u)
	}
	t.count(u.hash(), u.bytes(), 1)
}

func (t *Table) dropUser(u *User) {
	at, _ := findUser(t.users, u.Name)
	t.users = slices.Delete(slices.Clone(t.users), at, at+1)
	t.count(u.hash(), u.bytes(), -1)
}

func (t *Table) setRole(r *Role) {
	t.roles = slices.Clone(t.roles)
	at, has := findRole(t.roles, r.Name)
	if has {
		t.count(t.roles[at].hash(), t.roles[at].bytes(), -1)
		t.roles[at] = r
	} else {
		t.roles = slices.Insert(t.roles, at, r)
	}
	t.count(r.hash(), r.bytes(), 1)
}

// dropRole takes a role from all users as well: one of the same name, made later, is another one.
func (t *Table) dropRole(r *Role) {
	at, _ := findRole(t.roles, r.Name)
	t.roles = slices.Delete(slices.Clone(t.roles), at, at+1)
	t.count(r.hash(), r.bytes(), -1)
	t.users = slices.Clone(t.users)
	for i, old := range t.users {
		if !old.Has(r.Name) {
			continue
		}
		u := *old
		u.Roles = without(u.Roles, r.Name)
		t.users[i] = &u
		t.count(old.hash(), old.bytes(), -1)
		t.count(u.hash(), u.bytes(), 1)
	}
}

// count adds a user or a role to the sums, or takes one from them.
func (t *Table) count(hash uint64, bytes, sign int) {
	t.sum += uint64(sign) * hash
	t.bytes += sign * bytes
}

func without(roles []string, role string) []string {
	return slices.DeleteFunc(slices.Clone(roles), func(r string) bool { return r == role })
}
