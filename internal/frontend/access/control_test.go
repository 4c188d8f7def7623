package access

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"balsa.example/kv"
	"balsa.example/state/auth"
)

// fakeMember has a table, and one that it has executed after the next Read.
type fakeMember struct {
	mu      sync.Mutex
	now     *auth.Table
	next    *auth.Table
	changed chan struct{}
	reads   int
	keys    []string // of every lease
}

func newMember(t testing.TB, changes ...auth.Change) *fakeMember {
	m := &fakeMember{now: auth.New(), changed: make(chan struct{})}
	m.do(t, changes...)
	return m
}

func (m *fakeMember) do(t testing.TB, changes ...auth.Change) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		next, code := m.now.Do(c)
		if code != kv.CodeOK {
			t.Fatalf("%+v: %v", c, code)
		}
		m.now = next
	}
}

func (m *fakeMember) Read(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.next != nil {
		m.now, m.next = m.next, nil
	}
	return nil
}

func (m *fakeMember) Auth() (*auth.Table, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now, m.changed
}

func (m *fakeMember) NextLeaseKey(_ int64, from string) (string, bool) {
	for _, key := range m.keys {
		if key >= from {
			return key, true
		}
	}
	return "", false
}

func hashOf(t testing.TB, password string) []byte {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// users are root, a with a password and the right to read keys from a to b, and n without one.
func users(t testing.TB) []auth.Change {
	return []auth.Change{
		{Kind: auth.UserAdd, User: "root", Hash: hashOf(t, "rootpw")}, {Kind: auth.UserGrant, User: "root", Role: "root"},
		{Kind: auth.UserAdd, User: "a", Hash: hashOf(t, "pw")}, {Kind: auth.UserAdd, User: "n", NoPassword: true},
		{Kind: auth.RoleAdd, Role: "r"}, {Kind: auth.UserGrant, User: "a", Role: "r"},
		{Kind: auth.RoleGrant, Role: "r", Permission: auth.Permission{Access: auth.Read, Key: "a", End: "b"}},
	}
}

var enable = auth.Change{Kind: auth.Enable, Secret: []byte("0123456789abcdef")}

// clock is a time that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newControl(m Member, tokens Tokens) (*Control, *clock) {
	clk := &clock{time.Unix(1_000_000, 0)}
	return New(m, Config{Tokens: tokens, BcryptCost: bcrypt.MinCost, Clock: clk.Now}), clk
}

func TestAPasswordGivesAToken(t *testing.T) {
	m := newMember(t, users(t)...)
	c, _ := newControl(m, nil)
	if _, err := c.Authenticate(t.Context(), "", "a", "pw"); !errors.Is(err, ErrNotEnabled) {
		t.Errorf("authentication is off: %v", err)
	}
	if u, err := c.Identify(t.Context(), "any token", "a"); err != nil || u != (User{}) {
		t.Errorf("authentication is off: %v, %v", u, err)
	}
	m.do(t, enable)
	for _, tt := range []struct {
		name, password string
		want           error
	}{
		{"a", "other", ErrFailed}, {"a", "", ErrFailed}, {"nobody", "pw", ErrFailed}, {"", "", ErrFailed}, {"n", "", ErrNoPasswordUser},
	} {
		if _, err := c.Authenticate(t.Context(), "", tt.name, tt.password); !errors.Is(err, tt.want) {
			t.Errorf("%s with %q: %v, want %v", tt.name, tt.password, err, tt.want)
		}
	}
	token, err := c.Authenticate(t.Context(), "", "a", "pw")
	if err != nil {
		t.Fatal(err)
	}
	u, err := c.Identify(t.Context(), token, "root") // the token counts, not the certificate
	if err != nil || u.Name != "a" {
		t.Fatalf("%v, %v", u, err)
	}
	if u, err := c.Identify(t.Context(), "", "root"); err != nil || u != (User{"root", auth.ByCertificate}) {
		t.Errorf("by certificate: %v, %v", u, err)
	}
	if u, err := c.Identify(t.Context(), "", ""); err != nil || u != (User{}) {
		t.Errorf("by nothing: %v, %v", u, err)
	}
	c.cfg.NoCertificates = true
	if u, err := c.Identify(t.Context(), "", "root"); err != nil || u != (User{}) {
		t.Errorf("by a certificate that names nobody: %v, %v", u, err)
	}
}

// TestHowLongATokenHolds has the changes after which a token is good and is not.
func TestHowLongATokenHolds(t *testing.T) {
	for _, tt := range []struct {
		name    string
		changes []auth.Change
		good    bool
	}{
		{"another user", []auth.Change{{Kind: auth.UserAdd, User: "b"}}, true},
		{"another user's password", []auth.Change{{Kind: auth.UserPassword, User: "root", Hash: []byte("x")}}, true},
		{"a role", []auth.Change{{Kind: auth.UserRevoke, User: "a", Role: "r"}}, true},
		{"what a role may do", []auth.Change{{Kind: auth.RoleGrant, Role: "r", Permission: auth.Permission{Key: "x"}}}, true},
		{"a role that is gone", []auth.Change{{Kind: auth.RoleAdd, Role: "new"}, {Kind: auth.RoleDelete, Role: "r"}}, true},
		{"the password", []auth.Change{{Kind: auth.UserPassword, User: "a", Hash: []byte("x")}}, false},
		{"deleted", []auth.Change{{Kind: auth.UserDelete, User: "a"}}, false},
		{"made again", []auth.Change{{Kind: auth.UserDelete, User: "a"}, {Kind: auth.UserAdd, User: "a"}}, false},
		{"switched off and on", []auth.Change{{Kind: auth.Disable}, {Kind: auth.Enable, Secret: []byte("another secret")}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMember(t, append(users(t), enable)...)
			c, _ := newControl(m, nil)
			token, err := c.Authenticate(t.Context(), "", "a", "pw")
			if err != nil {
				t.Fatal(err)
			}
			m.do(t, tt.changes...)
			other, _ := newControl(m, nil) // another member, or this one after a restart
			for _, c := range []*Control{c, other} {
				if _, err := c.Identify(t.Context(), token, ""); (err == nil) != tt.good || err != nil && !errors.Is(err, kv.ErrInvalidToken) {
					t.Errorf("good is %v, want %v", err, tt.good)
				}
			}
		})
	}
}

func TestATokenLivesWhileItIsUsed(t *testing.T) {
	m := newMember(t, append(users(t), enable)...)
	c, clk := newControl(m, NewSimple(10*time.Second))
	other, _ := newControl(m, NewSimple(10*time.Second))
	other.cfg.Clock = clk.Now
	token, err := c.Authenticate(t.Context(), "", "a", "pw")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		clk.now = clk.now.Add(9 * time.Second)
		if _, err := c.Identify(t.Context(), token, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Identify(t.Context(), token, ""); !errors.Is(err, kv.ErrInvalidToken) {
		t.Errorf("a member that has not seen it used: %v", err)
	}
	clk.now = clk.now.Add(11 * time.Second)
	if _, err := c.Identify(t.Context(), token, ""); !errors.Is(err, kv.ErrInvalidToken) {
		t.Errorf("it was not used for long: %v", err)
	}
}

func TestUsedTokensAreBounded(t *testing.T) {
	s := NewSimple(10 * time.Second).(*simple)
	for i := range maxUsed + 10 {
		s.good([macBytes]byte{byte(i), byte(i >> 8), byte(i >> 16)}, 1000, 100)
	}
	if len(s.used) != maxUsed {
		t.Errorf("%d are remembered, want %d", len(s.used), maxUsed)
	}
	if !s.good([macBytes]byte{0xff, 0xff, 0xff}, 1000, 200) || len(s.used) != 1 {
		t.Errorf("%d are remembered when the others are too old", len(s.used))
	}
}

// TestARefusalComesAfterARead: the member may be behind.
func TestARefusalComesAfterARead(t *testing.T) {
	ahead := newMember(t, append(users(t), enable)...)
	c, _ := newControl(ahead, nil)
	token, err := c.Authenticate(t.Context(), "", "a", "pw")
	if err != nil {
		t.Fatal(err)
	}
	behind := newMember(t, append(users(t), auth.Change{Kind: auth.Enable, Secret: []byte("of before")})...)
	behind.next = ahead.now
	c, _ = newControl(behind, nil)
	u, err := c.Identify(t.Context(), token, "")
	if err != nil || u.Name != "a" {
		t.Errorf("%v, %v", u, err)
	}
	behind.do(t, auth.Change{Kind: auth.UserGrant, User: "a", Role: "root"})
	behind.now, behind.next = ahead.now, behind.now
	if err := c.Require(t.Context(), u, true); err != nil {
		t.Errorf("root by now: %v", err)
	}
	reads := behind.reads
	for _, tt := range []struct {
		u    User
		root bool
		want error
	}{{User{}, false, kv.ErrNoUser}, {User{"n", auth.ByCertificate}, true, kv.ErrPermissionDenied}, {User{"n", auth.ByCertificate}, false, nil}} {
		if err := c.Require(t.Context(), tt.u, tt.root); !errors.Is(err, tt.want) {
			t.Errorf("%v: %v, want %v", tt.u, err, tt.want)
		}
	}
	if behind.reads != reads+2 {
		t.Errorf("%d reads, want one for each refusal", behind.reads-reads)
	}
}

func TestARightThatIsTakenAwayDuringARead(t *testing.T) {
	m := newMember(t, append(users(t), enable)...)
	c, _ := newControl(m, nil)
	u := User{"a", auth.ByCertificate}
	if err := c.Read(u, kv.Single("c"), func() error { t.Error("was read"); return nil }); !errors.Is(err, kv.ErrPermissionDenied) {
		t.Error(err)
	}
	if err := c.Read(u, kv.Single("a"), func() error { return nil }); err != nil {
		t.Error(err)
	}
	err := c.Read(u, kv.Single("a"), func() error {
		m.do(t, auth.Change{Kind: auth.UserRevoke, User: "a", Role: "r"})
		return nil
	})
	if !errors.Is(err, kv.ErrPermissionDenied) {
		t.Errorf("the right is gone: %v", err)
	}
}

func TestLeasesGoByTheirKeys(t *testing.T) {
	m := newMember(t, append(users(t), enable)...)
	c, _ := newControl(m, nil)
	u := User{"a", auth.ByCertificate}
	m.keys = []string{"a1", "a2"}
	read := func() error { return nil }
	if err := c.Lease(u, 1, false, read); err != nil {
		t.Error(err)
	}
	if err := c.Lease(u, 1, true, read); !errors.Is(err, kv.ErrPermissionDenied) {
		t.Errorf("keys that a may only read: %v", err)
	}
	// A key of somebody else comes to the lease meanwhile.
	err := c.Lease(u, 1, false, func() error { m.keys = append(m.keys, "x"); return nil })
	if !errors.Is(err, kv.ErrPermissionDenied) || !errors.Is(c.Leases(u, []int64{1}), kv.ErrPermissionDenied) {
		t.Errorf("a key of others: %v", err)
	}
	if !c.Root(User{"root", auth.ByCertificate}) || c.Root(u) {
		t.Error("root")
	}
}

// changing gives a user another password between the first look and the second.
type changing struct {
	*fakeMember
	t    *testing.T
	left int
}

func (m *changing) Auth() (*auth.Table, <-chan struct{}) {
	now, changed := m.fakeMember.Auth()
	if m.left > 0 {
		m.left--
		m.do(m.t, auth.Change{Kind: auth.UserPassword, User: "a", Hash: hashOf(m.t, "pw")})
	}
	return now, changed
}

// Two clusters that were restored from one backup have all in common but their identity.
func TestATokenHoldsInOneCluster(t *testing.T) {
	m := newMember(t, append(users(t), enable)...)
	in := func(cluster uint64) *Control { return New(m, Config{BcryptCost: bcrypt.MinCost, Cluster: cluster}) }
	token, err := in(1).Authenticate(t.Context(), "", "a", "pw")
	if err != nil {
		t.Fatal(err)
	}
	if u, err := in(1).Identify(t.Context(), token, ""); err != nil || u.Name != "a" {
		t.Errorf("in its own: %v, %v", u, err)
	}
	if u, err := in(2).Identify(t.Context(), token, ""); !errors.Is(err, kv.ErrInvalidToken) {
		t.Errorf("in another one: %v, %v", u, err)
	}
}

func TestAPasswordThatChangesIsCheckedAgain(t *testing.T) {
	m := &changing{newMember(t, append(users(t), enable)...), t, 3}
	c, _ := newControl(m, nil)
	token, err := c.Authenticate(t.Context(), "", "a", "pw")
	if err != nil {
		t.Fatal(err)
	}
	if u, err := c.Identify(t.Context(), token, ""); err != nil || u.Stamp != m.now.User("a").Stamp {
		t.Errorf("the token is of an old password: %v, %v", u, err)
	}
	m.left = 1000
	if _, err := c.Authenticate(t.Context(), "", "a", "pw"); !errors.Is(err, ErrFailed) {
		t.Errorf("it changes for ever: %v", err)
	}
}

// Many passwords of one address wait to be checked. That of another one is next, and more of the first
// are refused.
func TestAFloodOfPasswordsKeepsNobodyElseWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hashing = 50 * time.Millisecond
		h := newHasher(bcrypt.MinCost)
		var wg sync.WaitGroup
		defer wg.Wait()
		busy := 0
		for range 2 * maxWaiting {
			wg.Go(func() {
				err := h.do(t.Context(), "guesses", func() error { time.Sleep(hashing); return nil })
				if errors.Is(err, ErrBusy) {
					busy++ // before any other goroutine goes on
				} else if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if want := maxWaiting - max(1, runtime.GOMAXPROCS(0)/2); busy != want {
			t.Errorf("%d of %d are refused, want %d", busy, 2*maxWaiting, want)
		}
		for _, source := range []string{"a", "b"} {
			began := time.Now()
			if err := h.do(t.Context(), source, func() error { time.Sleep(hashing); return nil }); err != nil || time.Since(began) > 3*hashing {
				t.Errorf("%s waits for %s: %v", source, time.Since(began), err)
			}
		}
	})
}

func TestPasswordsTooLongForBcryptAreRefused(t *testing.T) {
	c, _ := newControl(newMember(t), nil)
	if _, err := c.HashPassword(t.Context(), "", strings.Repeat("x", 73)); !errors.Is(err, bcrypt.ErrPasswordTooLong) {
		t.Error(err)
	}
	hash, err := c.HashPassword(t.Context(), "", "pw")
	if err != nil || bcrypt.CompareHashAndPassword(hash, []byte("pw")) != nil {
		t.Error(err)
	}
}

// alphabet is that of tokens.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func FuzzToken(f *testing.F) {
	m := newMember(f, append(users(f), enable)...)
	tokens := NewSimple(0)
	now := time.Unix(1_000_000, 0)
	good, _ := tokens.issue(m.now, 7, User{"a", 3}, now)
	f.Add(good)
	f.Add("")
	f.Add(good[:20])
	f.Add(good[:20] + "\n" + good[20:])
	last := strings.IndexByte(alphabet, good[len(good)-1])
	f.Add(good[:len(good)-1] + alphabet[last^1:][:1]) // the same bytes
	f.Fuzz(func(t *testing.T, token string) {
		if u, ok := tokens.verify(m.now, 7, token, now); ok && (token != good || u != (User{"a", 3})) {
			t.Errorf("%q is taken for a token of %v", token, u)
		}
	})
}
