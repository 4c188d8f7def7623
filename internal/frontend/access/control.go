package access

import (
	"context"
	"errors"
	"strings"
	"time"

	"balsa.example/kv"
	"balsa.example/state/auth"
)

var (
	// ErrNotEnabled refuses to authenticate while authentication is off.
	ErrNotEnabled = errors.New("authentication is not enabled")
	// ErrFailed is for a wrong name or password alike.
	ErrFailed = errors.New("authentication failed, invalid user ID or password")
	// ErrNoPasswordUser refuses the password of a user that has none.
	ErrNoPasswordUser = errors.New("authentication failed, password was given for no password user")
	// ErrBusy says that too many passwords wait to be hashed.
	ErrBusy = errors.New("too many passwords are being checked")
)

// User is the user of a request. The zero User is none.
type User struct {
	Name  string
	Stamp uint64 // see state.More
}

// Member is what a Control knows of its member.
type Member interface {
	// Read returns when all is executed here that any member acknowledged before.
	Read(ctx context.Context) error
	// Auth returns the users and roles as they are here, and a channel that is closed when there
	// are others.
	Auth() (*auth.Table, <-chan struct{})
	// NextLeaseKey returns the first key of a lease from one on, false if there is none.
	NextLeaseKey(id int64, from string) (key string, ok bool)
}

// Config says how users are proved.
type Config struct {
	Tokens Tokens
	// NoCertificates: the certificates of clients name no users.
	NoCertificates bool
	// Cluster is the identity of the cluster. A token holds in the one where it was made.
	Cluster uint64
	// BcryptCost is that of new hashes; 0: the default of bcrypt, 10.
	BcryptCost int
	// Clock is the time that tokens go by; nil: time.Now.
	Clock func() time.Time
}

// Control proves and checks users at one member. Any goroutine may use it.
type Control struct {
	member Member
	cfg    Config
	hasher hasher
}

// New returns a Control.
func New(member Member, cfg Config) *Control {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Tokens == nil {
		cfg.Tokens = NewSimple(0)
	}
	return &Control{member: member, cfg: cfg, hasher: newHasher(cfg.BcryptCost)}
}

// Table returns the users and roles as they are at this member.
func (c *Control) Table() *auth.Table {
	t, _ := c.member.Auth()
	return t
}

// Enabled tells whether authentication is on at this member.
func (c *Control) Enabled() bool { return c.Table().Enabled() }

// Auth is Table with a channel that is closed when there is another one.
func (c *Control) Auth() (t *auth.Table, replaced <-chan struct{}) { return c.member.Auth() }

// Identify returns the user that a token proves, or else a certificate, in whose name the common
// name stands; the zero User if there is neither, or authentication is off. The error is
// kv.ErrInvalidToken, or one of Member.Read.
func (c *Control) Identify(ctx context.Context, token, commonName string) (User, error) {
	t := c.Table()
	token = strings.TrimPrefix(token, "Bearer ")
	switch {
	case !t.Enabled():
		return User{}, nil
	case token == "" && (commonName == "" || c.cfg.NoCertificates):
		return User{}, nil
	case token == "":
		return User{commonName, auth.ByCertificate}, nil
	}
	u, ok := c.cfg.Tokens.verify(t, c.cfg.Cluster, token, c.cfg.Clock())
	if ok && accepted(t, u) {
		return u, nil
	}
	if err := c.member.Read(ctx); err != nil {
		return User{}, err
	}
	switch t = c.Table(); {
	case !t.Enabled():
		return User{}, nil
	default:
		if u, ok = c.cfg.Tokens.verify(t, c.cfg.Cluster, token, c.cfg.Clock()); !ok || !accepted(t, u) {
			return User{}, kv.ErrInvalidToken
		}
	}
	return u, nil
}

func accepted(t *auth.Table, u User) bool {
	_, code := t.Admit(u.Name, u.Stamp)
	return code == kv.CodeOK
}

// Require refuses a user that there is not, or, for what is only for the role root, that has not
// that role. The errors are those of codes of package kv, or of Member.Read.
func (c *Control) Require(ctx context.Context, u User, root bool) error {
	return c.decide(ctx, func(t *auth.Table) kv.Code { return t.Require(u.Name, u.Stamp, root) })
}

// decide repeats what is refused after a linearizable read.
func (c *Control) decide(ctx context.Context, check func(*auth.Table) kv.Code) error {
	t := c.Table()
	if check(t) == kv.CodeOK {
		return nil
	}
	if err := c.member.Read(ctx); err != nil {
		return err
	}
	return check(c.Table()).Err()
}

// Readable tells whether a user may read all keys of a span, by what this member has executed.
func (c *Control) Readable(u User, span kv.Span) error {
	return c.Table().Check(u.Name, u.Stamp, span, false).Err()
}

// AwaitReadable is Readable, but repeats a refusal after a linearizable read.
func (c *Control) AwaitReadable(ctx context.Context, u User, span kv.Span) error {
	return c.decide(ctx, func(t *auth.Table) kv.Code { return t.Check(u.Name, u.Stamp, span, false) })
}

// Read reads a span for a user. It checks the right before and after: what was written when the
// right was gone is not shown. The read is a fresh one, so a refusal is final.
func (c *Control) Read(u User, span kv.Span, read func() error) error {
	return c.guard(func(t *auth.Table) kv.Code { return t.Check(u.Name, u.Stamp, span, false) }, read)
}

// Txn is Read for a transaction that only reads. One of nothing shows nothing, so it needs no right.
func (c *Control) Txn(u User, txn *kv.Txn, read func() error) error {
	if len(txn.If)+len(txn.Then)+len(txn.Else) == 0 {
		return read()
	}
	return c.guard(func(t *auth.Table) kv.Code { return t.CheckTxn(u.Name, u.Stamp, txn, c.member.NextLeaseKey) }, read)
}

// Lease reads about a lease, or changes it, for a user that may read all its keys, or write them.
func (c *Control) Lease(u User, id int64, write bool, do func() error) error {
	return c.guard(func(t *auth.Table) kv.Code { return c.lease(t, u, id, write) }, do)
}

func (c *Control) lease(t *auth.Table, u User, id int64, write bool) kv.Code {
	next := func(from string) (string, bool) { return c.member.NextLeaseKey(id, from) }
	return t.CheckAll(u.Name, u.Stamp, next, write)
}

// BeginLease is Lease for what does not end in the same call: end is called after it.
func (c *Control) BeginLease(u User, id int64, write bool) (end func() error, err error) {
	return c.begin(func(t *auth.Table) kv.Code { return c.lease(t, u, id, write) })
}

// Leases is Lease for many, of which a user may read all keys.
func (c *Control) Leases(u User, ids []int64) error {
	t := c.Table()
	for _, id := range ids {
		if code := c.lease(t, u, id, false); code != kv.CodeOK {
			return code.Err()
		}
	}
	return nil
}

// guard checks a right before do and after it.
func (c *Control) guard(check func(*auth.Table) kv.Code, do func() error) error {
	end, err := c.begin(check)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return end()
}

// begin checks a right. end checks it again, if it may have changed.
func (c *Control) begin(check func(*auth.Table) kv.Code) (end func() error, err error) {
	before := c.Table()
	if code := check(before); code != kv.CodeOK {
		return nil, code.Err()
	}
	return func() error {
		if after := c.Table(); after != before || after.Enabled() {
			return check(after).Err()
		}
		return nil
	}, nil
}

// Root tells whether a user has the role root, or authentication is off.
func (c *Control) Root(u User) bool {
	return c.Table().Require(u.Name, u.Stamp, true) == kv.CodeOK
}
