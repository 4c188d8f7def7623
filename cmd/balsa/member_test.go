package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa.example/clerk"
)

// names are the members that "member list" tells, with their roles, of which leader is a voter.
func names(t *testing.T, endpoints string) string {
	t.Helper()
	code, out, errs := balsa(t, "", "member", "list", "-o", "json", endpoints)
	var list struct{ Members []memberJSON }
	if err := json.Unmarshal([]byte(out), &list); code != exitOK || err != nil {
		t.Fatalf("member list: %d %q %q (%v)", code, out, errs, err)
	}
	var all []string
	for _, m := range list.Members {
		all = append(all, m.Name+":"+strings.Replace(m.Role, "leader", "voter", 1))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func awaitNames(t *testing.T, endpoints, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got = names(t, endpoints); got == want {
			return
		}
	}
	t.Fatalf("the members are %s, want %s", got, want)
}

// A cluster of "balsa dev" gets and loses servers while it runs, and has those when it runs again.
func TestMembersFromTheCommandLine(t *testing.T) {
	base := freePorts(t, 2*peerPortOffset)
	dir := filepath.Join(t.TempDir(), "dev")
	dev := []string{"dev", "--base-port", fmt.Sprint(base), "--data-dir", dir}
	_, stop := background(t, "Ctrl-C", dev...)
	endpoints := fmt.Sprintf("--endpoints=127.0.0.1:%d,127.0.0.1:%d", base, base+1)
	run := func(wantCode int, wantText string, args ...string) {
		t.Helper()
		code, out, errs := balsa(t, "", append(args, endpoints)...)
		if code != wantCode || !strings.Contains(out+errs, wantText) {
			t.Errorf("%v: code %d, out %q, err %q", args, code, out, errs)
		}
	}
	run(exitOK, "version=1", "put", "a", "1")
	awaitNames(t, endpoints, "n1:voter n2:voter n3:voter")

	if code, out, errs := balsa(t, "", "dev", "add", "--data-dir", dir); code != exitOK {
		t.Fatalf("dev add: %d %q %q", code, out, errs)
	}
	awaitNames(t, endpoints, "n1:voter n2:voter n3:voter n4:voter")
	run(exitOK, "removed n3", "member", "remove", "n3")
	awaitNames(t, endpoints, "n1:voter n2:voter n4:voter")

	run(exitNotFound, "no such member", "member", "remove", "n3")
	run(exitRefused, "votes already", "member", "promote", "n4")
	run(exitRefused, "another member", "member", "update", "n4", "--peer-urls", loopback(base+peerPortOffset))
	run(exitUsage, "nobody can connect", "member", "update", "n4", "--peer-urls", "http://0.0.0.0:1")
	run(exitUsage, "--peer-urls", "member", "update", "n4")
	run(exitOK, "added n9", "member", "add", "n9", "--learner")
	run(exitOK, "now start it: balsa serve --name n9 --join 127.0.0.1:", "member", "add", "n9", "--learner") // once more is the same
	run(exitRefused, "which has not started", "member", "add", "n9")
	run(exitRefused, "n9 is a learner, which cannot lead", "move-leader", "n9")
	run(exitRefused, "not started", "member", "promote", "n9")
	run(exitOK, "not started", "member", "list")
	run(exitOK, "removed n9", "member", "rm", "n9")
	run(exitOK, "replaced by n5", "member", "replace", "n2", "--as", "n5")
	run(exitRefused, "about to replace", "member", "replace", "n2", "--as", "n6")
	run(exitBehind, "does not vote yet", "member", "replace", "n2", "--as", "n5", "--wait", "1ms")
	run(exitOK, "removed n5", "member", "remove", "n5")
	run(exitOK, "n4 leads", "move-leader", "n4")
	run(exitOK, "n4 leads", "move-leader", "n4") // it does already
	run(exitNotFound, "no voter", "move-leader", "n9")
	run(exitOK, "n4", "status")

	stop()
	_, stop = background(t, "Ctrl-C", dev...)
	awaitNames(t, endpoints, "n1:voter n2:voter n4:voter")
	run(exitOK, "1", "get", "a")
	stop()
	if code, _, errs := balsa(t, "", "dev", "add", "--data-dir", dir); code != exitError || !strings.Contains(errs, "no balsa dev runs") {
		t.Errorf("dev add without dev: %d %q", code, errs)
	}
}

func TestJoinAndInitialClusterExcludeEachOther(t *testing.T) {
	for args, says := range map[string]string{
		"serve --join 127.0.0.1:1 --initial-cluster default=http://127.0.0.1:1": "exclude each other",
		"serve --learner": "--join",
		"serve --join 0.0.0.0:1 --listen-peer-urls http://127.0.0.1:2": "all interfaces",
		"serve --join 127.0.0.1:1 --listen-peer-urls http://0.0.0.0:2": "--initial-advertise-peer-urls",
	} {
		if code, _, errs := balsa(t, "", strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%s: %d %q", args, code, errs)
		}
	}
}

// To say that nothing is wrong would be a guess where nobody has answered.
func TestToWaitForAMemberWithoutAnAnswer(t *testing.T) {
	endpoint := fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1))
	ck, err := clerk.New([]string{endpoint})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	p := &program{stdout: io.Discard, stderr: io.Discard, env: noEnv}
	r := &memberRun{p: p, n: &connection{endpoints: []string{endpoint}, timeout: 50 * time.Millisecond}, out: new(output), ck: ck, ctx: t.Context()}
	if err := r.await("member replace", 5, 0); exitCode(err) != exitUnavailable || !strings.Contains(err.Error(), "nobody has told") {
		t.Errorf("%d: %v", exitCode(err), err)
	}
}
