//go:build unix

package main

import (
	"strings"
	"testing"
)

func TestUsersFromTheCommandLine(t *testing.T) {
	endpoints := oneServer(t, "--bcrypt-cost", "4") // a password costs a second under the race detector
	const root, ann = "--user=root:secret", "--user=ann:word"
	for _, s := range []step{
		{[]string{"put", "app/1", "hello"}, "", exitOK, "version=1 revision=2\n", ""},
		{[]string{"auth", "enable"}, "", exitUsage, "", "no user root"},
		{[]string{"user", "add", "root"}, "secret\n", exitOK, "added\n", ""},
		{[]string{"user", "grant-role", "root", "root"}, "", exitOK, "granted\n", ""},
		{[]string{"user", "add", "ann:word"}, "", exitOK, "added\n", ""},
		{[]string{"user", "add", "ann:word"}, "", exitUsage, "", "already exists"},
		{[]string{"user", "add", "host", "--no-password", "-o", "json"}, "", exitOK, `{"done":"added"}` + "\n", ""},
		{[]string{"user", "add", "nobody"}, "", exitUsage, "", "the password is empty"},
		{[]string{"role", "add", "app"}, "", exitOK, "added\n", ""},
		{[]string{"role", "grant", "app", "all", "x"}, "", exitUsage, "", "must be read, write or readwrite"},
		{[]string{"role", "grant", "app", "read", "b", "--to", "a"}, "", exitUsage, "", "is not behind"},
		{[]string{"role", "grant", "app", "readwrite", "app/", "--prefix"}, "", exitOK, "granted\n", ""},
		{[]string{"role", "grant", "app", "read", "config"}, "", exitOK, "granted\n", ""},
		{[]string{"role", "grant", "app", "write", "x", "--from-key"}, "", exitOK, "granted\n", ""},
		{[]string{"role", "revoke", "app", "x"}, "", exitUsage, "", "permission is not granted"},
		{[]string{"role", "revoke", "app", "x", "--from-key"}, "", exitOK, "revoked\n", ""},
		{[]string{"user", "grant-role", "ann", "app"}, "", exitOK, "granted\n", ""},
		{[]string{"user", "get", "nope"}, "", exitUsage, "", "not found"},
		{[]string{"role", "get", "nope"}, "", exitUsage, "", "not found"},
		{[]string{"auth", "status"}, "", exitOK, "enabled=false auth_revision=11\n", ""},
		{[]string{"auth", "enable"}, "", exitOK, "enabled\n", ""},

		{[]string{"get", "app/1"}, "", exitDenied, "", "not authenticated"},
		{[]string{"status", "-o", "json", "--user=ann:wrong"}, "", exitDenied, "*", "see --user"},
		{[]string{"status"}, "", exitDenied, "*", "see --user"},
		{[]string{"doctor", "--sample", "0s"}, "", exitProblem, "*", ""},
		{[]string{"get", "app/1", "--user=ann:wrong"}, "", exitDenied, "", "see --user"},
		{[]string{"bench", "put"}, "", exitDenied, "", "see --user"},
		{[]string{"import"}, `{"key":"a","value":"b"}`, exitDenied, "", "see --user"},
		{[]string{"get", "app/1", ann}, "", exitOK, "hello\n", ""},
		{[]string{"get", "app/1", "--user=ann", "--password=word"}, "", exitOK, "hello\n", ""},
		{[]string{"get", "app/1", "--password=word"}, "", exitUsage, "", "--password is for a --user"},
		{[]string{"put", "config", "x", ann}, "", exitDenied, "", "permission denied"},
		{[]string{"user", "list", ann}, "", exitDenied, "", "permission denied"},
		{[]string{"move-leader", ann}, "", exitDenied, "", "permission denied"},
		{[]string{"user", "get", "ann", ann}, "", exitOK, "\"ann\" roles=[\"app\"]\n", ""},
		{[]string{"role", "get", "app", ann}, "", exitOK, "\"app\"\n  readwrite prefix \"app/\"\n  read      \"config\"\n", ""},
		{[]string{"user", "list", "-o", "json", root}, "", exitOK, `{"user":"ann","roles":["app"]}` + "\n" +
			`{"user":"host","roles":[],"no_password":true}` + "\n" + `{"user":"root","roles":["root"]}` + "\n", ""},
		{[]string{"role", "list", "-o", "json", root}, "", exitOK, `{"role":"app","permissions":[{"access":"readwrite","from":{"key":"app/"},"to":{"key":"app0"}},` +
			`{"access":"read","from":{"key":"config"},"to":{"key":"config\u0000"}}]}` + "\n", ""},
		{[]string{"user", "passwd", "ann", root}, "another\n", exitOK, "changed\n", ""},
		{[]string{"get", "app/1", ann}, "", exitDenied, "", "authentication failed"},
		{[]string{"user", "revoke-role", "ann", "app", root}, "", exitOK, "revoked\n", ""},
		{[]string{"get", "app/1", "--user=ann:another"}, "", exitDenied, "", "permission denied"},
		{[]string{"role", "delete", "app", root}, "", exitOK, "deleted\n", ""},
		{[]string{"user", "delete", "ann", root}, "", exitOK, "deleted\n", ""},
		{[]string{"user", "delete", "root", root}, "", exitUsage, "", "invalid change of users"},
		{[]string{"auth", "disable", root}, "", exitOK, "disabled\n", ""},
		{[]string{"get", "app/1"}, "", exitOK, "hello\n", ""},
	} {
		code, out, errs := balsa(t, s.stdin, append(s.args, endpoints)...)
		if code != s.code || out != s.out && s.out != "*" || !strings.Contains(errs, s.err) || (s.err == "") != (errs == "") {
			t.Errorf("%q: code %d, out %q, err %q", s.args, code, out, errs)
		}
	}
}

// Who may use a few keys only may watch, lock and lead there.
func TestAUserOfAPrefixWatchesLocksAndLeads(t *testing.T) {
	endpoints := oneServer(t, "--bcrypt-cost", "4")
	for _, s := range []step{
		{[]string{"put", "app/1", "x"}, "", exitOK, "version=1 revision=2\n", ""},
		{[]string{"user", "add", "root"}, "secret\n", exitOK, "added\n", ""},
		{[]string{"user", "grant-role", "root", "root"}, "", exitOK, "granted\n", ""},
		{[]string{"user", "add", "ann:word"}, "", exitOK, "added\n", ""},
		{[]string{"role", "add", "app"}, "", exitOK, "added\n", ""},
		{[]string{"role", "grant", "app", "readwrite", "app/", "--prefix"}, "", exitOK, "granted\n", ""},
		{[]string{"user", "grant-role", "ann", "app"}, "", exitOK, "granted\n", ""},
		{[]string{"auth", "enable"}, "", exitOK, "enabled\n", ""},
	} {
		s.run(t, endpoints)
	}
	const ann = "--user=ann:word"
	for until, args := range map[string][]string{
		`put "app/1" = "x"`: {"watch", "--prefix", "app/", "--rev", "1"},
		`key="app/l/@`:      {"lock", "app/l"},
		`key="app/e/@`:      {"elect", "app/e", "me"},
	} {
		output, stop := background(t, until, append([]string{args[0], endpoints, ann}, args[1:]...)...)
		if code := stop(); code != exitOK {
			t.Errorf("%q: code %d, %s", args, code, output)
		}
	}
	for _, args := range [][]string{{"watch", "b"}, {"lock", "b", "true"}, {"elect", "b", "me"}} {
		step{append([]string{args[0], ann}, args[1:]...), "", exitDenied, "", "permission denied"}.run(t, endpoints)
		step{append([]string{args[0], "--user=ann:wrong"}, args[1:]...), "", exitDenied, "", "authentication failed"}.run(t, endpoints)
		step{args, "", exitDenied, "", "not authenticated"}.run(t, endpoints)
	}
}
