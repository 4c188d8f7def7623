//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"balsa.example/clerk"
)

// step is one command and what must come of it.
type step struct {
	args  []string // without endpoints
	stdin string
	code  int
	out   string // all of the standard output
	err   string // part of the standard error
}

func (s step) run(t *testing.T, endpoints string) {
	t.Helper()
	code, out, errs := balsa(t, s.stdin, append([]string{s.args[0], endpoints}, s.args[1:]...)...)
	if code != s.code || out != s.out || !strings.Contains(errs, s.err) || (s.err == "") != (errs == "") {
		t.Errorf("%q: code %d, out %q, err %q", s.args, code, out, errs)
	}
}

func TestTxnFromTheCommandLine(t *testing.T) {
	endpoints := oneServer(t)
	file := filepath.Join(t.TempDir(), "a.txn")
	if err := os.WriteFile(file, []byte("if value(a) = 1\nthen put a 2 prev\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []step{
		{[]string{"txn", "put a 1; put b x"}, "", exitOK, "succeeded=true revision=2\nput \"a\"\nput \"b\"\n", ""},
		{[]string{"txn", "-f", file}, "", exitOK, "succeeded=true revision=3\nput \"a\"\n  \"a\" = \"1\" version=1 create_revision=2 mod_revision=2\n", ""},
		{[]string{"txn", "-f", "-"}, "if version(a) = 1 then put a 9 else get prefix '' limit 1", exitElse,
			"succeeded=false revision=3\nget prefix \"\" count=2 more=true\n  \"a\" = \"2\" version=2 create_revision=2 mod_revision=3\n", ""},
		{[]string{"txn", "-o", "json"}, "if missing(z) then get a; del b prev; (put c 1)", exitOK,
			`{"succeeded":true,"revision":4,"results":[` +
				`{"op":"get","keys":[{"key":"a","value":"2","version":2,"create_revision":2,"mod_revision":3}],"count":1},` +
				`{"op":"del","keys":[{"key":"b","value":"x","version":1,"create_revision":2,"mod_revision":2}],"deleted":1},` +
				`{"op":"txn","txn":{"succeeded":true,"revision":4,"results":[{"op":"put"}]}}]}` + "\n", ""},
		{[]string{"txn", "put", "a", "3"}, "", exitOK, "succeeded=true revision=5\nput \"a\"\n", ""},
		{[]string{"txn", "put a 1; put a 2"}, "", exitUsage, "", "changes a key twice"},
		{[]string{"txn", "put d 1 lease 1"}, "", exitNotFound, "", "lease does not exist"},
		{[]string{"txn", "pit a"}, "", exitUsage, "", "txn: line 1, column 1"},
		{[]string{"txn", "-f", file, "put a 1"}, "", exitUsage, "", "not both"},
		{[]string{"txn", "-f", file + "x"}, "", exitUsage, "", "no such file"},
		{[]string{"txn"}, strings.Repeat("# too long\n", maxTxnText/10), exitUsage, "", "more than 72351744 bytes"},
	} {
		s.run(t, endpoints)
	}
	p := program{stdin: strings.NewReader(""), stdout: brokenWriter{}, stderr: &bytes.Buffer{}, env: noEnv}
	if code := p.run(t.Context(), []string{"txn", "if exists(nix) then", endpoints}); code != exitUnreported {
		t.Errorf("a result that cannot be written: %d", code)
	}
}

func TestLeasesFromTheCommandLine(t *testing.T) {
	endpoints := oneServer(t)
	code, out, errs := balsa(t, "", "lease", "grant", "300", "-o", "json", endpoints)
	var granted leaseJSON
	if err := json.Unmarshal([]byte(out), &granted); err != nil || code != exitOK || granted.TTL == nil || *granted.TTL != 300 {
		t.Fatalf("grant: %d %q %q", code, out, errs)
	}
	id := granted.ID
	for _, s := range []step{
		{[]string{"put", "a", "1", "--lease", id}, "", exitOK, "version=1 revision=2\n", ""},
		{[]string{"put", "a", "2", "--version", "1", "--lease", id}, "", exitOK, "version=2 revision=3\n", ""},
		{[]string{"get", "a", "-v"}, "", exitOK, "2\n", "lease=" + id},
		{[]string{"get", "a", "-o", "json"}, "", exitOK,
			`{"key":"a","value":"2","version":2,"create_revision":2,"mod_revision":3,"revision":3,"lease":"` + id + `"}` + "\n", ""},
		{[]string{"put", "b", "1", "--lease", "1"}, "", exitNotFound, "", "lease does not exist"},
		{[]string{"put", "b", "1", "--lease", "xyz"}, "", exitUsage, "", "--lease"},
		{[]string{"lease", "ls"}, "", exitOK, id + "\n", ""},
		{[]string{"lease", "ls", "-o", "json"}, "", exitOK, `{"id":"` + id + `"}` + "\n", ""},
		{[]string{"lease", "keep-alive", id, "--once"}, "", exitOK, "lease=" + id + " ttl=300s\n", ""},
		{[]string{"lease", "keep-alive", "1", "--once"}, "", exitNotFound, "", "lease keep-alive 1: the lease does not exist"},
		{[]string{"lease", "ttl", "1"}, "", exitNotFound, "", "does not exist"},
		{[]string{"lease", "grant", "never"}, "", exitUsage, "", "time to live"},
		{[]string{"lease", "grant", "0"}, "", exitUsage, "", "above 0"},
	} {
		s.run(t, endpoints)
	}
	code, out, _ = balsa(t, "", "lease", "ttl", id, endpoints)
	if code != exitOK || !regexp.MustCompile(`^lease=`+id+` ttl=[0-9.]+s granted_ttl=300s\n  "a"\n$`).MatchString(out) {
		t.Errorf("ttl: %d %q", code, out)
	}
	var info leaseJSON
	code, out, _ = balsa(t, "", "lease", "ttl", id, "-o", "json", endpoints)
	if err := json.Unmarshal([]byte(out), &info); err != nil || code != exitOK || info.Granted != 300 || len(info.Keys) != 1 || *info.Keys[0].Key != "a" {
		t.Errorf("ttl: %d %q", code, out)
	}
	kept, stop := background(t, "ttl=300s", "lease", "keep-alive", id, endpoints)
	if code := stop(); code != exitOK {
		t.Errorf("keep-alive ended with %d: %s", code, kept)
	}
	for _, s := range []step{
		{[]string{"lease", "revoke", id}, "", exitOK, "revoked\n", ""},
		{[]string{"lease", "revoke", id}, "", exitNotFound, "", "does not exist"},
		{[]string{"get", "a"}, "", exitNotFound, "", "does not exist"},
	} {
		s.run(t, endpoints)
	}
}

func TestWatchFromTheCommandLine(t *testing.T) {
	endpoints := oneServer(t)
	for _, s := range []step{
		{[]string{"txn", "put a/1 x; put a/2 y"}, "", exitOK, "succeeded=true revision=2\nput \"a/1\"\nput \"a/2\"\n", ""},
		{[]string{"put", "a/1", "z"}, "", exitOK, "version=2 revision=3\n", ""},
		{[]string{"del", "a/2"}, "", exitOK, "deleted\n", ""},
		{[]string{"put", "b", "1"}, "", exitOK, "version=1 revision=5\n", ""},
	} {
		s.run(t, endpoints)
	}
	for _, test := range []struct {
		args, last, want string
	}{
		{"--prefix a/ --rev 1", "delete", "put \"a/1\" = \"x\" version=1 revision=2\nput \"a/2\" = \"y\" version=1 revision=2\n" +
			"put \"a/1\" = \"z\" version=2 revision=3\ndelete \"a/2\" revision=4\n"},
		{"--prefix a/ --rev 3 --prev -o json", "delete",
			`{"revision":3,"events":[{"type":"put","key":"a/1","value":"z","version":2,"create_revision":2,"mod_revision":3,` +
				`"prev":{"key":"a/1","value":"x","version":1,"create_revision":2,"mod_revision":2}}]}` + "\n" +
				`{"revision":4,"events":[{"type":"delete","key":"a/2","version":0,"mod_revision":4,` +
				`"prev":{"key":"a/2","value":"y","version":1,"create_revision":2,"mod_revision":2}}]}` + "\n"},
		{"a/1 --rev 3 --prev", "put", "put \"a/1\" = \"z\" version=2 revision=3 prev=\"x\"\n"},
		{"--prefix --rev 1 --no-put", "delete", "delete \"a/2\" revision=4\n"},
		{"--from-key a/2 --rev 1 --no-delete", "revision=5", "put \"a/2\" = \"y\" version=1 revision=2\nput \"b\" = \"1\" version=1 revision=5\n"},
	} {
		output, stop := background(t, test.last, append([]string{"watch", endpoints}, strings.Fields(test.args)...)...)
		if code := stop(); code != exitOK || output.String() != test.want {
			t.Errorf("%s: code %d, %s", test.args, code, output)
		}
	}
	output, stop := background(t, "progress revision=5", "watch", "new", "--progress", endpoints)
	step{[]string{"put", "new", "1"}, "", exitOK, "version=1 revision=6\n", ""}.run(t, endpoints)
	output.await(t, "put \"new\" = \"1\" version=1 revision=6\n", nil)
	stop()
	for _, s := range []step{
		{[]string{"watch"}, "", exitUsage, "", "needs a KEY"},
		{[]string{"watch", ""}, "", exitUsage, "", "key is empty"},
		{[]string{"watch", "a", "--prefix", "--from-key"}, "", exitUsage, "", "exclude each other"},
		{[]string{"watch", "a/1", "--rev", "1", "--exec", "exit 3"}, "", exitError, "", `the command for key "a/1" ended with 3; to go on there: --rev 2`},
	} {
		s.run(t, endpoints)
	}
	step{[]string{"watch", "a", "--timeout", "200ms"}, "", exitUnavailable, "", "not done within 200ms"}.run(t, "--endpoints=127.0.0.1:1")
}

func TestWatchExecutes(t *testing.T) {
	endpoints := oneServer(t)
	balsa(t, "", "put", "k", "v w", endpoints)
	balsa(t, "", "put", "k", "x", endpoints)
	balsa(t, "", "del", "k", endpoints)
	script := `echo "[$BALSA_EVENT_TYPE $BALSA_EVENT_KEY $BALSA_EVENT_VALUE $BALSA_EVENT_VERSION $BALSA_EVENT_REVISION $BALSA_EVENT_PREV_VALUE]"; cat`
	output, stop := background(t, `"type":"delete"`, "watch", "k", "--rev", "1", "--prev", "--exec", script, endpoints)
	want := `[put k v w 1 2 ]
{"type":"put","key":"k","value":"v w","version":1,"create_revision":2,"mod_revision":2}
[put k x 2 3 v w]
{"type":"put","key":"k","value":"x","version":2,"create_revision":2,"mod_revision":3,"prev":{"key":"k","value":"v w","version":1,"create_revision":2,"mod_revision":2}}
[delete k   4 x]
`
	if code := stop(); code != exitOK || !strings.HasPrefix(output.String(), want) {
		t.Errorf("code %d, %s", code, output)
	}
}

// What the environment cannot hold does not keep the command from being run.
func TestEventVariables(t *testing.T) {
	for _, test := range []struct {
		value string
		held  bool
	}{{"", true}, {strings.Repeat("x", maxVariable), true}, {strings.Repeat("x", maxVariable+1), false}, {"a\x00b", false}} {
		all := eventVariables(clerk.Event{KV: clerk.KV{Key: "k", Value: []byte(test.value)}}, 1)
		held := false
		for _, v := range all {
			held = held || strings.HasPrefix(v, "BALSA_EVENT_VALUE=")
			if !isChildVariable(v) {
				t.Errorf("%s is taken for a mistake", v)
			}
		}
		if held != test.held || len(all) < 4 {
			t.Errorf("a value of %d bytes: %d variables, held %v", len(test.value), len(all), held)
		}
	}
	if got := childEnvironment([]string{"BALSA_EVENT_KEY=old", "HOME=/"}); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestCompactedWatchHasItsOwnExitCode(t *testing.T) {
	endpoints := oneServer(t)
	balsa(t, "", "put", "k", "1", endpoints)
	balsa(t, "", "put", "k", "2", endpoints)
	balsa(t, "", "put", "k", "3", endpoints)
	ck, err := clerk.New([]string{strings.TrimPrefix(endpoints, "--endpoints=")})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	if err := ck.Compact(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	step{[]string{"watch", "k", "--rev", "1"}, "", exitCompacted, "", "begins with --rev 3"}.run(t, endpoints)
}

func TestLockRunsACommand(t *testing.T) {
	endpoints := oneServer(t)
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []step{
		{[]string{"lock", "l", "sh", "-c", `echo "$BALSA_LOCK_NAME $BALSA_LOCK_TOKEN"`}, "", exitOK, "l 2\n", ""},
		{[]string{"lock", "l", "cat"}, "in", exitOK, "in", ""},
		{[]string{"lock", "--try", "l", "sh", "-c", "exit 42"}, "", 42, "", ""},
		{[]string{"lock", "l", "sh", "-c", "kill -9 $$"}, "", 128 + 9, "", ""},
		{[]string{"lock", "l", "/does/not/exist"}, "", exitNoCommand, "", "no such file"},
		{[]string{"lock", "l", plain}, "", exitNotExecutable, "", "permission denied"},
		{[]string{"lock", "--ttl", "1ms", "l"}, "", exitUsage, "", "--ttl"},
		{[]string{"lock", "--try", "--wait", "1s", "l"}, "", exitUsage, "", "--wait"},
		{[]string{"lock", "l/@x", "true"}, "", exitUsage, "", "bad name"},
		{[]string{"lock"}, "", exitUsage, "", "requires at least 1 arg"},
	} {
		s.run(t, endpoints)
	}
	held, stop := background(t, "token=", "lock", endpoints, "l")
	for _, s := range []step{
		{[]string{"lock", "--try", "l", "true"}, "", exitHeld, "", "another one has it"},
		{[]string{"lock", "--wait", "100ms", "l", "true"}, "", exitHeld, "", "not got within 100ms"},
	} {
		s.run(t, endpoints)
	}
	if code := stop(); code != exitOK {
		t.Errorf("ended with %d: %s", code, held)
	}
	step{[]string{"lock", "--try", "l", "true"}, "", exitOK, "", ""}.run(t, endpoints)
	step{[]string{"lock", "--timeout", "200ms", "l", "true"}, "", exitUnavailable, "", "not done within 200ms"}.run(t, "--endpoints=127.0.0.1:1")
}

// A command whose lock is lost is ended with all that it has started, even if it does not want to.
func TestLostLockEndsTheCommand(t *testing.T) {
	endpoints := oneServer(t)
	ended := make(chan int, 1)
	output := newLines()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	alive, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it ends when nobody has it open for writing
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	go func() {
		p := program{stdin: strings.NewReader(""), stdout: output, stderr: output, env: noEnv}
		ended <- p.run(context.Background(), []string{"lock", endpoints, "--ttl", "3s", "l", "sh", "-c",
			`trap "" TERM; sh -c 'echo "lease=$BALSA_LOCK_LEASE."; while :; do sleep 1; done' 3>` + fifo + `; true`})
	}()
	output.await(t, ".", ended)
	_, id, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(output.String()), "."), "lease=")
	step{[]string{"lease", "revoke", id}, "", exitOK, "revoked\n", ""}.run(t, endpoints)
	if code := within(t, "the command", ended); code != exitLost || !strings.Contains(output.String(), `lock "l": lost`) {
		t.Errorf("code %d, %s", code, output)
	}
	if err := alive.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := alive.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("what the command has started goes on: %v", err)
	}
}

// A signal ends the command, which may take its time while the lock is still held.
func TestSignalReachesTheCommandUnderTheLock(t *testing.T) {
	endpoints := oneServer(t)
	output, stop := background(t, "ready", "lock", endpoints, "l", "sh", "-c",
		`trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.1; done`)
	if code := stop(); code != 5 || !strings.Contains(output.String(), "bye") {
		t.Errorf("code %d, %s", code, output)
	}
	step{[]string{"lock", "--try", "l", "true"}, "", exitOK, "", ""}.run(t, endpoints)
}

func TestElectFromTheCommandLine(t *testing.T) {
	endpoints := oneServer(t)
	first, resign := background(t, "token=2", "elect", "e", "a", endpoints)
	seen, leave := background(t, "\"a\" token=2\n", "elect", "e", "--listen", endpoints)
	asJSON, leaveToo := background(t, `"token":2,`, "elect", "e", "--listen", "-o", "json", endpoints)
	step{[]string{"elect", "e", "b", "--wait", "100ms"}, "", exitHeld, "", "not got within 100ms"}.run(t, endpoints)
	if code := resign(); code != exitOK {
		t.Errorf("ended with %d: %s", code, first)
	}
	_, resign = background(t, `"token":`, "elect", "e", "c", "-o", "json", endpoints)
	seen.await(t, "\"c\" token=", nil)
	asJSON.await(t, `"value":"c"`, nil)
	for _, stop := range []func() int{leave, leaveToo, resign} {
		if code := stop(); code != exitOK {
			t.Errorf("ended with %d", code)
		}
	}
	for _, s := range []step{
		{[]string{"elect", "e"}, "", exitUsage, "", "VALUE"},
		{[]string{"elect", "e", "v", "--listen"}, "", exitUsage, "", "VALUE"},
	} {
		s.run(t, endpoints)
	}
}

// An exit status is no error to print.
func TestExitStatusIsSilent(t *testing.T) {
	var errs bytes.Buffer
	p := program{stdout: &bytes.Buffer{}, stderr: &errs, env: noEnv}
	p.result = &result{to: p.stdout}
	if code := p.finish(fmt.Errorf("x: %w", exitStatus(exitElse))); code != exitElse || errs.Len() > 0 {
		t.Errorf("code %d, err %q", code, &errs)
	}
	if code := p.finish(errors.New("x")); code != exitError || errs.Len() == 0 {
		t.Errorf("code %d, err %q", code, &errs)
	}
}

// TestWhatCannotBeToldEndsTheCommand: commands of leases, and those that go on until Ctrl-C, have the
// exit code of a result that could not be written, and leave nothing held.
func TestWhatCannotBeToldEndsTheCommand(t *testing.T) {
	endpoints := oneServer(t)
	_, out, _ := balsa(t, "", "lease", "grant", "300", "-o", "json", endpoints)
	var granted leaseJSON
	if err := json.Unmarshal([]byte(out), &granted); err != nil {
		t.Fatal(err)
	}
	id := granted.ID
	balsa(t, "", "put", "k", "v", endpoints)
	_, resign := background(t, "token=", "elect", "led", "a", endpoints)
	for _, args := range [][]string{
		{"lease", "grant", "60"}, {"lease", "grant", "60", "-o", "json"},
		{"lease", "ls"}, {"lease", "ls", "-o", "json"}, {"lease", "ttl", id}, {"lease", "ttl", id, "-o", "json"},
		{"lease", "keep-alive", id}, {"lease", "keep-alive", id, "--once"}, {"lease", "keep-alive", id, "-o", "json"},
		{"lease", "revoke", id},
		{"lock", "l"}, {"lock", "-o", "json", "l"}, {"lock", "l", "echo", "x"},
		{"elect", "e", "v"}, {"elect", "e", "v", "-o", "json"}, {"elect", "led", "--listen"}, {"elect", "led", "--listen", "-o", "json"},
		{"watch", "k", "--rev", "1"}, {"watch", "k", "--rev", "1", "-o", "json"}, {"watch", "k", "--rev", "1", "--exec", "echo x"},
	} {
		ended := make(chan int, 1)
		var errs bytes.Buffer
		go func() {
			p := program{stdin: strings.NewReader(""), stdout: brokenWriter{}, stderr: &errs, env: noEnv}
			ended <- p.run(t.Context(), append([]string{args[0], endpoints}, args[1:]...))
		}()
		if code := within(t, strings.Join(args, " "), ended); code != exitUnreported || !strings.Contains(errs.String(), "could not be written") {
			t.Errorf("%q: code %d, %s", args, code, &errs)
		}
	}
	if code := resign(); code != exitOK {
		t.Errorf("the leader ended with %d", code)
	}
	step{[]string{"lock", "--try", "l", "true"}, "", exitOK, "", ""}.run(t, endpoints)
	step{[]string{"lock", "--try", "e", "true"}, "", exitOK, "", ""}.run(t, endpoints)
}

// A quota is in force before the first write, and is told.
func TestAClusterIsBornWithItsQuota(t *testing.T) {
	endpoints := oneServer(t, "--quota", "1000")
	steps{
		{"put b " + strings.Repeat("x", 1000), "", exitError, "", "quota"},
		{"put a 1", "", exitOK, "version=1 revision=2\n", ""},
	}.run(t, endpoints)
	if code, out, errs := balsa(t, "", "status", "-o", "json", endpoints); code != exitOK || !strings.Contains(out, `"quota_bytes":1000`) {
		t.Errorf("status: %d %q %q", code, out, errs)
	}
}
