package auth_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"balsa.example/kv"
	"balsa.example/state/auth"
)

var (
	enable  = auth.Change{Kind: auth.Enable, Secret: []byte("secret")}
	disable = auth.Change{Kind: auth.Disable}
)

func userAdd(name string) auth.Change {
	return auth.Change{Kind: auth.UserAdd, User: name, Hash: []byte("hash")}
}
func roleAdd(name string) auth.Change { return auth.Change{Kind: auth.RoleAdd, Role: name} }
func give(user, role string) auth.Change {
	return auth.Change{Kind: auth.UserGrant, User: user, Role: role}
}

func allow(role string, access auth.Access, key, end string) auth.Change {
	return auth.Change{Kind: auth.RoleGrant, Role: role, Permission: auth.Permission{Access: access, Key: key, End: end}}
}

// tableOf makes a table by changes that must all be taken.
func tableOf(t testing.TB, changes ...auth.Change) *auth.Table {
	t.Helper()
	table := auth.New()
	for _, c := range changes {
		next, code := table.Do(c)
		if code != kv.CodeOK {
			t.Fatalf("%+v: %v", c, code)
		}
		table = next
	}
	return table
}

// TestChangesCountAndAreRefusedAsInEtcd has the numbers that etcd's auth revision has.
func TestChangesCountAndAreRefusedAsInEtcd(t *testing.T) {
	table := auth.New()
	for i, step := range []struct {
		change   auth.Change
		code     kv.Code
		revision uint64
	}{
		{enable, kv.CodeNoRootUser, 1},
		{disable, kv.CodeOK, 1},
		{userAdd(""), kv.CodeNoUser, 1},
		{userAdd("root"), kv.CodeOK, 2},
		{userAdd("root"), kv.CodeUserExists, 2},
		{enable, kv.CodeNoRootRole, 2},
		{give("root", "root"), kv.CodeOK, 3}, // without a role of that name
		{give("root", "root"), kv.CodeOK, 3},
		{give("nobody", "root"), kv.CodeUserNotFound, 3},
		{give("root", "reader"), kv.CodeRoleNotFound, 3},
		{roleAdd(""), kv.CodeNoRole, 3},
		{roleAdd("reader"), kv.CodeOK, 4},
		{roleAdd("reader"), kv.CodeRoleExists, 4},
		{allow("reader", auth.Read, "", ""), kv.CodeAuthChange, 4},
		{allow("reader", auth.Read, "b", "a"), kv.CodeAuthChange, 4},
		{allow("writer", auth.Read, "b", "c"), kv.CodeRoleNotFound, 4},
		{allow("reader", auth.Read, "b", "c"), kv.CodeOK, 5},
		{allow("reader", auth.Read, "b", ""), kv.CodeOK, 6},
		{allow("reader", auth.Write, "b", "c"), kv.CodeOK, 7}, // instead of Read
		{auth.Change{Kind: auth.RoleRevoke, Role: "reader", Permission: auth.Permission{Key: "b", End: "d"}}, kv.CodePermissionNotGranted, 7},
		{auth.Change{Kind: auth.RoleRevoke, Role: "reader", Permission: auth.Permission{Key: "b"}}, kv.CodeOK, 8},
		{auth.Change{Kind: auth.UserRevoke, User: "root", Role: "reader"}, kv.CodeRoleNotGranted, 8},
		{auth.Change{Kind: auth.Enable}, kv.CodeInvalid, 8}, // no secret
		{enable, kv.CodeOK, 8},
		{enable, kv.CodeOK, 8},
		{auth.Change{Kind: auth.UserDelete, User: "root"}, kv.CodeAuthChange, 8},
		{auth.Change{Kind: auth.UserRevoke, User: "root", Role: "root"}, kv.CodeAuthChange, 8},
		{auth.Change{Kind: auth.RoleDelete, Role: "root"}, kv.CodeAuthChange, 8},
		{userAdd("a"), kv.CodeOK, 9},
		{give("a", "reader"), kv.CodeOK, 10},
		{auth.Change{Kind: auth.UserPassword, User: "a", Hash: []byte("other")}, kv.CodeOK, 11},
		{auth.Change{Kind: auth.UserPassword, User: "b"}, kv.CodeUserNotFound, 11},
		{auth.Change{Kind: auth.RoleDelete, Role: "reader"}, kv.CodeOK, 12},
		{auth.Change{Kind: auth.UserRevoke, User: "a", Role: "reader"}, kv.CodeRoleNotGranted, 12},
		{disable, kv.CodeOK, 13},
		{disable, kv.CodeOK, 13},
		{auth.Change{Kind: auth.UserDelete, User: "root"}, kv.CodeOK, 14},
		{auth.Change{Kind: 99}, kv.CodeUnknownKind, 14},
	} {
		before := table.Append(nil)
		next, code := table.Do(step.change)
		if code != step.code || next.Revision() != step.revision {
			t.Fatalf("step %d, %+v: %v at %d, want %v at %d", i, step.change, code, next.Revision(), step.code, step.revision)
		}
		if !bytes.Equal(table.Append(nil), before) {
			t.Fatalf("step %d, %+v: the old table has changed", i, step.change)
		}
		table = next
	}
	if u := table.User("a"); u.Stamp != 11 || string(u.Hash) != "other" || len(u.Roles) != 0 {
		t.Errorf("user a is %+v", u)
	}
}

func TestPermissionsCoverTogether(t *testing.T) {
	table := tableOf(t, userAdd("a"), roleAdd("r"), roleAdd("w"), give("a", "r"), give("a", "w"),
		allow("r", auth.Read, "b", "d"), allow("w", auth.ReadWrite, "d", "f"), allow("r", auth.Read, "k", ""),
		allow("r", auth.Write, "x", "\x00"))
	for _, tt := range []struct {
		span        kv.Span
		read, write bool
	}{
		{kv.Single("b"), true, false},
		{kv.Single("a"), false, false},
		{kv.Single("d"), true, true},
		{kv.Single("f"), false, false},
		{kv.Span{From: "b", To: "f"}, true, false}, // by both roles
		{kv.Span{From: "b", To: "f\x00"}, false, false},
		{kv.Span{From: "d", To: "f"}, true, true},
		{kv.FromKey("d"), false, false},
		{kv.Single("k"), true, false},
		{kv.FromKey("k"), false, false}, // GHSA-xg4h-6gfc-h4m8 of etcd
		{kv.Prefix("k"), false, false},
		{kv.FromKey("x"), false, true},
		{kv.FromKey("z"), false, true},
		{kv.Span{}, false, false},
		{kv.Span{From: "c", To: "b"}, true, false}, // nothing, from a key that may be read
		{kv.Span{From: "j", To: "b"}, false, false},
	} {
		u := table.User("a")
		if read, write := table.Permitted(u, tt.span, false), table.Permitted(u, tt.span, true); read != tt.read || write != tt.write {
			t.Errorf("%q: read %v, write %v, want %v, %v", tt.span, read, write, tt.read, tt.write)
		}
	}
	all := tableOf(t, userAdd("a"), roleAdd("r"), give("a", "r"), allow("r", auth.Read, "\x00", "\x00"))
	if !all.Permitted(all.User("a"), kv.Span{}, false) {
		t.Error("from the zero byte on is not the whole store")
	}
}

func TestPermittedAllAsksOncePerSpan(t *testing.T) {
	table := tableOf(t, userAdd("a"), roleAdd("r"), give("a", "r"), allow("r", auth.Write, "b", "c"), allow("r", auth.Write, "x", ""))
	keys := []string{"b", "b1", "b2", "b3", "x"}
	asked := 0
	next := func(from string) (string, bool) {
		asked++
		at, _ := slices.BinarySearch(keys, from)
		if at == len(keys) {
			return "", false
		}
		return keys[at], true
	}
	if !table.PermittedAll(table.User("a"), next, true) || asked != 3 {
		t.Errorf("asked %d times, want 3, and yes", asked)
	}
	keys = append(keys, "y")
	if table.PermittedAll(table.User("a"), next, true) {
		t.Error("y may be written")
	}
}

func TestAdmit(t *testing.T) {
	table := tableOf(t, userAdd("root"), give("root", "root"), userAdd("a"), enable)
	table, _ = table.Do(auth.Change{Kind: auth.UserPassword, User: "a", Hash: []byte("new")})
	stamp := table.User("a").Stamp
	for _, tt := range []struct {
		name  string
		stamp uint64
		want  kv.Code
	}{
		{"", 0, kv.CodeNoUser},
		{"", auth.ByCertificate, kv.CodeNoUser},
		{"a", stamp, kv.CodeOK},
		{"a", stamp - 1, kv.CodeInvalidToken},
		{"a", auth.ByCertificate, kv.CodeOK},
		{"b", stamp, kv.CodeInvalidToken},
		{"b", auth.ByCertificate, kv.CodePermissionDenied},
	} {
		if u, code := table.Admit(tt.name, tt.stamp); code != tt.want || (u != nil) != (code == kv.CodeOK) {
			t.Errorf("%q with stamp %d: %v, want %v", tt.name, tt.stamp, code, tt.want)
		}
	}
	// The password lives on, and another user of the same name is another one.
	table, _ = table.Do(auth.Change{Kind: auth.UserDelete, User: "a"})
	table, _ = table.Do(userAdd("a"))
	if _, code := table.Admit("a", stamp); code != kv.CodeInvalidToken {
		t.Errorf("the token of a user who was deleted: %v", code)
	}
}

func TestTableIsBounded(t *testing.T) {
	table := tableOf(t, roleAdd("r"), userAdd("a"))
	refused := func(what string, c auth.Change) {
		t.Helper()
		if next, code := table.Do(c); code != kv.CodeAuthLimit || next != table {
			t.Errorf("%s: %v", what, code)
		}
	}
	long := strings.Repeat("x", auth.MaxNameBytes+1)
	refused("a long name", userAdd(long))
	refused("a long role", roleAdd(long))
	refused("a long hash", auth.Change{Kind: auth.UserPassword, User: "a", Hash: []byte(long)})
	refused("a long key", allow("r", auth.Read, strings.Repeat("x", 129<<10), ""))
	for i := range auth.MaxPermissions {
		table, _ = table.Do(allow("r", auth.Read, fmt.Sprintf("%05d", i), ""))
	}
	refused("one more permission", allow("r", auth.Read, "x", ""))
	for i := range auth.MaxRoles {
		name := fmt.Sprint("role ", i)
		table, _ = table.Do(roleAdd(name))
		table, _ = table.Do(give("a", name))
	}
	refused("one more role", give("a", "r"))
	code := kv.CodeOK
	for i := 0; code == kv.CodeOK; i++ {
		if i > auth.MaxBytes/(100<<10) {
			t.Fatal("no limit of all together")
		}
		name := fmt.Sprint("large ", i)
		if table, code = table.Do(roleAdd(name)); code == kv.CodeOK {
			table, code = table.Do(allow(name, auth.Read, strings.Repeat("x", 127<<10), ""))
		}
	}
	if code != kv.CodeAuthLimit {
		t.Error(code)
	}
	if _, code := table.Do(auth.Change{Kind: auth.RoleDelete, Role: "large 0"}); code != kv.CodeOK {
		t.Errorf("nothing can be deleted any more: %v", code)
	}
}

func TestDecodeUndoesAppend(t *testing.T) {
	table := tableOf(t, userAdd("root"), give("root", "root"), roleAdd("r"), give("root", "r"), allow("r", auth.Read, "b", "c"),
		allow("r", auth.ReadWrite, "a", ""), auth.Change{Kind: auth.UserAdd, User: "n", NoPassword: true}, give("n", "r"), enable)
	b := table.Append(nil)
	back, err := auth.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if back.Hash() != table.Hash() || !bytes.Equal(back.Append(nil), b) {
		t.Error("another table comes back")
	}
	if u := back.User("n"); !back.Permitted(u, kv.Single("a"), true) || !back.Permitted(u, kv.Single("b"), false) {
		t.Error("what the role covers is lost")
	}
	for i := range b {
		if _, err := auth.Decode(b[:i]); err == nil {
			t.Errorf("%d of %d bytes are a table", i, len(b))
		}
		changed := bytes.Clone(b)
		changed[i] ^= 4
		if _, err := auth.Decode(changed); !errors.Is(err, auth.ErrBadImage) && !errors.Is(err, auth.ErrMemory) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(auth.New().Append(nil))
	f.Add(tableOf(f, userAdd("root"), give("root", "root"), roleAdd("r"), allow("r", auth.Write, "b", "\x00"), enable).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := auth.Decode(b)
		if err != nil {
			return
		}
		back, err := auth.Decode(table.Append(nil))
		if err != nil || back.Hash() != table.Hash() {
			t.Fatalf("%v", err)
		}
		for _, u := range table.Users() {
			table.Permitted(u, kv.Span{From: "a", To: "x"}, true)
		}
	})
}

// TestAPermissionOfASpanIsForThatSpan: no span that a client can name becomes more than its keys, and one without
// keys is refused.
func TestAPermissionOfASpanIsForThatSpan(t *testing.T) {
	ends := []string{"", "\x00", "\x00\x00", "a", "a\x00", "b"}
	keys := append(slices.Clone(ends[1:]), "c")
	for _, from := range ends {
		for _, to := range ends {
			span := kv.Span{From: from, To: to}
			c := auth.Change{Kind: auth.RoleGrant, Role: "r", Permission: auth.PermissionOf(auth.Read, span)}
			table, code := tableOf(t, userAdd("u"), roleAdd("r"), give("u", "r")).Do(c)
			holds := slices.ContainsFunc(keys, span.Contains)
			if (code == kv.CodeOK) != holds {
				t.Errorf("%q to %q: %v", from, to, code)
			}
			for _, key := range keys {
				if may := table.Permitted(table.User("u"), kv.Single(key), false); may != (holds && span.Contains(key)) {
					t.Errorf("%q to %q: may read %q: %v", from, to, key, may)
				}
			}
		}
	}
}
