//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRestoreOfEtcd: two servers begin with a snapshot of etcd, at its revisions and beyond them.
func TestRestoreOfEtcd(t *testing.T) {
	path, data := etcdSnapshot(t)
	for _, keep := range []bool{false, true} {
		dir, compacted, next := t.TempDir(), "1000000026", "1000000027"
		var dirs []string
		for i := range 2 {
			args := []string{"restore", path, "--data-dir", filepath.Join(dir, fmt.Sprint(i))}
			if keep {
				args, compacted, next = append(args, "--keep-revisions"), "26", "27"
			}
			dirs = append(dirs, args[3])
			if code, out, errs := balsa(t, "", args...); code != exitOK || !strings.HasPrefix(out, "restored revision=26 reached=unknown new_revision="+compacted+" ") {
				t.Fatalf("%d %q %q", code, out, errs)
			}
		}
		endpoints, stop := newCluster(t, dirs...)
		steps{
			{"ls", "", exitOK, "again\nbin\nempty\nlast\nleased\nmany\none\nthree\ntwo\nunleased\n", ""},
			{"get many -o json", "", exitOK, `{"key":"many","value":"12","version":13,"create_revision":2,"mod_revision":14,"revision":` + compacted + "}\n", ""},
			{"get bin --raw", "", exitOK, "binary\xff\x00", ""},
			{"user list", "", exitOK, "\"root\" roles=[\"root\"]\n", ""},
			{"watch many --rev 20", "", exitCompacted, "", "compacted"},
			{"lease revoke 54a6a216d0d3f814", "", exitOK, "revoked\n", ""}, // without keys: no revision
			{"put many more", "", exitOK, "version=14 revision=" + next + "\n", ""},
			{"lease revoke 54a6a216d0d3f812", "", exitOK, "revoked\n", ""},
			{"get leased", "", exitNotFound, "", "does not exist"},
		}.run(t, endpoints)
		stop()
		if code, out, errs := balsa(t, "", "check", dirs[0]); code != exitOK {
			t.Errorf("check: %d %s %s", code, out, errs)
		}
	}
	data[len(data)/2] ^= 1
	changed, to := path+".changed", filepath.Join(t.TempDir(), "new")
	if err := os.WriteFile(changed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		changed:                "the hash at its end is not that of its contents; nothing is written",
		path + " --revision 3": "has one state",
	} {
		code, _, errs := balsa(t, "", append([]string{"restore", "--data-dir", to}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s", args, code, errs)
		}
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("what was refused has left a directory")
	}
}

// TestRestoreOfUsersOfEtcd: passwords are as they were, and authentication is on.
func TestRestoreOfUsersOfEtcd(t *testing.T) {
	path, _ := etcdTestdata(t, "users.db.gz")
	dir := filepath.Join(t.TempDir(), "data")
	if code, out, errs := balsa(t, "", "restore", path, "--data-dir", dir); code != exitOK {
		t.Fatalf("%d %q %q", code, out, errs)
	}
	endpoints, stop := newCluster(t, dir)
	defer stop()
	steps{
		{"get app/1", "", exitDenied, "", "see --user"},
		{"get app/1 --user ann:word", "", exitOK, "one\n", ""},
		{"put a new --user ann:word", "", exitDenied, "", "denied"},
		{"get app/1 --user ann:other", "", exitDenied, "", "authentication failed"},
		{"user get cert --user root:rootpw -o json", "", exitOK, `{"user":"cert","roles":["all"],"no_password":true}` + "\n", ""},
		{"role get all --user root:rootpw -o json", "", exitOK, `{"role":"all","permissions":[{"access":"read","from":{"key":"\u0000"}}]}` + "\n", ""},
	}.run(t, endpoints)
}
