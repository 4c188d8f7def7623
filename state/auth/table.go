package auth

import (
	"cmp"
	"encoding/binary"
	"slices"

	"balsa.example/kv"

	"github.com/cespare/xxhash/v2"
)

// RootName is the name of the user and of the role that may do everything.
const RootName = "root"

// The limits decide what is refused. They are part of the machine, since each replica must refuse
// the same.
const (
	// MaxNameBytes is how long the name of a user or a role may be.
	MaxNameBytes = 1 << 10
	// MaxRoles is how many roles a user may have, and MaxPermissions how many permissions a role.
	MaxRoles       = 256
	MaxPermissions = 4096
	// MaxBytes is for all users and roles, each with entryOverhead, and each role of a user and
	// permission of a role with itemOverhead.
	MaxBytes      = 32 << 20
	entryOverhead = 256
	itemOverhead  = 48
	// maxKeyBytes is how long the key and the end of a permission may be together.
	maxKeyBytes = 128 << 10
	// maxHashBytes is how long the hash of a password may be; bcrypt's has 60. maxSecretBytes is
	// the same for the secret of tokens.
	maxHashBytes   = 128
	maxSecretBytes = 128
)

// User is one user. Nobody changes a User.
type User struct {
	Name string
	// Hash is that of the password. Nobody can log in with a password if it is empty.
	Hash []byte
	// NoPassword says that the user has none: it is proved by a certificate.
	NoPassword bool
	Roles      []string // in order
	// Stamp is the auth revision at which the user got its password.
	Stamp uint64
}

// Root tells whether the user may do everything.
func (u *User) Root() bool { return u.Has(RootName) }

// Has tells whether the user has a role.
func (u *User) Has(role string) bool {
	_, ok := slices.BinarySearch(u.Roles, role)
	return ok
}

// Role is one role. Nobody changes a Role.
type Role struct {
	Name        string
	Permissions []Permission // in the order of key and end

	read, write []kv.Span // what Permissions allow, merged
}

func newRole(name string, permissions []Permission) *Role {
	return &Role{
		Name: name, Permissions: permissions,
		read: merged(permissions, Read), write: merged(permissions, Write),
	}
}

// Table is all users and roles, at one moment: it never changes. Any goroutine may use it.
type Table struct {
	enabled  bool
	revision uint64
	secret   []byte
	users    []*User // in the order of their names
	roles    []*Role

	bytes int
	sum   uint64 // of the hashes of all users and roles
}

// New returns a Table without users and roles, at auth revision 1. Authentication is off.
func New() *Table { return &Table{revision: 1} }

// Enabled tells whether commands and reads need a user.
func (t *Table) Enabled() bool { return t.enabled }

// Revision is the auth revision. Each change of users and roles adds one.
func (t *Table) Revision() uint64 { return t.revision }

// Secret is what tokens are proved with. It is drawn whenever authentication is switched on.
func (t *Table) Secret() []byte { return t.secret }

// WithSecret returns a Table that differs in its secret: tokens of before are good no more. While
// authentication is off there is none.
func (t *Table) WithSecret(secret []byte) *Table {
	if !t.enabled {
		return t
	}
	other := *t
	other.secret = secret
	return &other
}

// Users and Roles return all of them, in the order of their names. Nobody may change the slices.
func (t *Table) Users() []*User { return t.users }
func (t *Table) Roles() []*Role { return t.roles }

// User returns a user, nil if there is none of this name.
func (t *Table) User(name string) *User {
	if i, ok := findUser(t.users, name); ok {
		return t.users[i]
	}
	return nil
}

// Role returns a role, nil if there is none of this name.
func (t *Table) Role(name string) *Role {
	if i, ok := findRole(t.roles, name); ok {
		return t.roles[i]
	}
	return nil
}

func findUser(users []*User, name string) (int, bool) {
	return slices.BinarySearchFunc(users, name, func(u *User, name string) int { return cmp.Compare(u.Name, name) })
}

func findRole(roles []*Role, name string) (int, bool) {
	return slices.BinarySearchFunc(roles, name, func(r *Role, name string) int { return cmp.Compare(r.Name, name) })
}

// ByCertificate is the stamp of a user that a certificate proves: no change of the password makes
// it invalid.
const ByCertificate = ^uint64(0)

// Admit finds the user that a command or a read names. With authentication on, the code is
// kv.CodeNoUser if it names none, and kv.CodeInvalidToken if its stamp is older than the user's
// password, or if there is no such user.
func (t *Table) Admit(name string, stamp uint64) (*User, kv.Code) {
	if name == "" {
		return nil, kv.CodeNoUser
	}
	switch u := t.User(name); {
	case u == nil && stamp == ByCertificate:
		return nil, kv.CodePermissionDenied
	case u == nil || stamp < u.Stamp:
		return nil, kv.CodeInvalidToken
	default:
		return u, kv.CodeOK
	}
}

// Require tells whether a user may do what is for every user, or for the role root only. Without
// authentication everybody may do everything.
func (t *Table) Require(name string, stamp uint64, root bool) kv.Code {
	return t.decide(name, stamp, func(u *User) bool { return !root || u.Root() })
}

// Check tells whether a user may read, or write, all keys of a span.
func (t *Table) Check(name string, stamp uint64, span kv.Span, write bool) kv.Code {
	return t.decide(name, stamp, func(u *User) bool { return t.Permitted(u, span, write) })
}

// CheckAll is Check for the keys that next lists: see PermittedAll.
func (t *Table) CheckAll(name string, stamp uint64, next func(from string) (key string, ok bool), write bool) kv.Code {
	return t.decide(name, stamp, func(u *User) bool { return t.PermittedAll(u, next, write) })
}

func (t *Table) decide(name string, stamp uint64, may func(*User) bool) kv.Code {
	if !t.enabled {
		return kv.CodeOK
	}
	u, code := t.Admit(name, stamp)
	if code == kv.CodeOK && !may(u) {
		code = kv.CodePermissionDenied
	}
	return code
}

// Hash covers everything that is replicated.
func (t *Table) Hash() uint64 {
	enabled := uint64(0)
	if t.enabled {
		enabled = 1
	}
	b := binary.LittleEndian.AppendUint64(nil, enabled)
	b = binary.LittleEndian.AppendUint64(b, t.revision)
	b = binary.LittleEndian.AppendUint64(b, xxhash.Sum64(t.secret))
	return xxhash.Sum64(b) + t.sum
}

func (u *User) bytes() int {
	n := entryOverhead + len(u.Name) + len(u.Hash)
	for _, role := range u.Roles {
		n += itemOverhead + len(role)
	}
	return n
}

func (r *Role) bytes() int {
	n := entryOverhead + len(r.Name)
	for _, p := range r.Permissions {
		n += itemOverhead + len(p.Key) + len(p.End)
	}
	return n
}

func (u *User) hash() uint64 { return xxhash.Sum64(u.append([]byte{'u'})) }
func (r *Role) hash() uint64 { return xxhash.Sum64(r.append([]byte{'r'})) }
