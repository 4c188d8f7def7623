//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestLogLevelFromTheCommandLine(t *testing.T) {
	endpoints := oneServer(t, "--bcrypt-cost", "4")
	address := strings.TrimPrefix(endpoints, "--endpoints=")
	const root, ann = "--user=root:secret", "--user=ann:word"
	line := func(text string) string { return "default  " + address + "  " + text + "\n" }
	for _, s := range []step{
		{[]string{"log-level"}, "", exitOK, line("info"), ""},
		{[]string{"log-level", "debug"}, "", exitOK, line("debug, was info"), ""},
		{[]string{"log-level", "loud"}, "", exitUsage, "", "must be debug, info, warn or error"},
		{[]string{"log-level", "-o", "json"}, "", exitOK, `{"name":"default","endpoint":"` + address + `","level":"debug","before":"debug"}` + "\n", ""},

		{[]string{"user", "add", "root:secret"}, "", exitOK, "added\n", ""},
		{[]string{"user", "grant-role", "root", "root"}, "", exitOK, "granted\n", ""},
		{[]string{"user", "add", "ann:word"}, "", exitOK, "added\n", ""},
		{[]string{"auth", "enable"}, "", exitOK, "enabled\n", ""},
		{[]string{"log-level", "info"}, "", exitDenied, "", "the call has no user"},
		{[]string{"log-level", "info", ann}, "", exitDenied, "", "permission denied"},
		{[]string{"log-level", "info", root}, "", exitOK, line("info, was debug"), ""},
	} {
		code, out, errs := balsa(t, s.stdin, append(s.args, endpoints)...)
		if code != s.code || out != s.out || !strings.Contains(errs, s.err) || (s.err == "") != (errs == "") {
			t.Errorf("%q: code %d, out %q, err %q", s.args, code, out, errs)
		}
	}
	absent := endpoints + "," + loopback(freePorts(t, 1))
	if code, out, errs := balsa(t, "", "log-level", absent, root); code != exitUnavailable || out != line("info") || errs == "" {
		t.Errorf("one of two servers is not there: code %d, out %q, err %q", code, out, errs)
	}
}

// TestAServerWithEtcdsFlagsHasALevelToo begins where etcd does.
func TestAServerWithEtcdsFlagsHasALevelToo(t *testing.T) {
	base := freePorts(t, 2)
	output, stop := background(t, "ready to serve client requests", "etcd", "--data-dir", filepath.Join(t.TempDir(), "data"),
		"--listen-client-urls", loopback(base), "--advertise-client-urls", loopback(base), "--log-level", "info",
		"--listen-peer-urls", loopback(base+1), "--initial-advertise-peer-urls", loopback(base+1), "--initial-cluster", "default="+loopback(base+1))
	defer stop()
	code, out, errs := balsa(t, "", "log-level", "error", "--endpoints", loopback(base))
	if code != exitOK || !strings.Contains(out, "error, was info") {
		t.Fatalf("code %d, out %q, err %q", code, out, errs)
	}
	output.await(t, "the level of this log was changed", nil)
}
