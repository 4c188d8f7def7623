//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const readyLine = "ready to serve client requests"

// asEtcd is this program under the name etcd, by way of a link.
func asEtcd(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "etcd")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(link, args...)
	cmd.Env = append(os.Environ(), runAs+"=balsa")
	return cmd
}

// etcdMember is a process of a cluster that a test has started.
type etcdMember struct {
	cmd    *exec.Cmd
	output *lines
	ended  chan error
}

func startEtcd(t *testing.T, cmd *exec.Cmd) *etcdMember {
	t.Helper()
	m := &etcdMember{cmd: cmd, output: newLines()}
	cmd.Stdout, cmd.Stderr = m.output, m.output
	m.ended = start(t, cmd)
	return m
}

func (m *etcdMember) awaitReady(t *testing.T) {
	t.Helper()
	timeout := time.After(patience)
	for !strings.Contains(m.output.String(), readyLine) {
		select {
		case <-m.output.changed.C():
		case err := <-m.ended:
			t.Fatalf("ended with %v: %s", err, m.output)
		case <-timeout:
			t.Fatalf("not ready: %s", m.output)
		}
	}
}

// A shell lets what it starts in the background ignore SIGINT. A script that sends it nevertheless sees how the
// server ended.
func TestEtcdEndsByASignalThatItWasToIgnore(t *testing.T) {
	base := freePorts(t, 2)
	cmd := asEtcd(t, "--data-dir="+t.TempDir(), "--listen-client-urls="+loopback(base), "--advertise-client-urls="+loopback(base),
		"--listen-peer-urls="+loopback(base+1), "--initial-advertise-peer-urls="+loopback(base+1), "--initial-cluster=default="+loopback(base+1))
	cmd.Args = append([]string{"sh", "-c", `trap "" INT; exec "$@"`, "sh"}, cmd.Args...)
	var err error
	if cmd.Path, err = exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
	m := startEtcd(t, cmd)
	m.awaitReady(t)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	within(t, "end", m.ended)
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGINT) {
		t.Errorf("it ended with %d", code)
	}
}

// The flags and the waiting are those of a harness that knows nothing but etcd. Members start in any
// order, and one is started again.
func TestHarnessOfEtcdStartsThreeServers(t *testing.T) {
	base, dir := freePorts(t, 6), t.TempDir()
	url := func(i int) string { return fmt.Sprintf("http://127.0.0.1:%d", base+i) }
	var cluster []string
	for i := range 3 {
		cluster = append(cluster, fmt.Sprintf("m%d=%s", i, url(3+i)))
	}
	member := func(i int, state string) *etcdMember {
		return startEtcd(t, asEtcd(t,
			fmt.Sprintf("--name=m%d", i), "--listen-client-urls="+url(i), "--advertise-client-urls="+url(i),
			"--listen-peer-urls="+url(3+i), "--initial-advertise-peer-urls="+url(3+i), "--initial-cluster-token=some-etcd",
			"--data-dir="+filepath.Join(dir, fmt.Sprint(i)), "--snapshot-count=10000",
			"--initial-cluster="+strings.Join(cluster, ","), "--initial-cluster-state="+state))
	}
	all := []*etcdMember{2: member(2, "new")}
	all[0] = member(0, "new")
	all[1] = member(1, "new")
	for _, m := range all {
		m.awaitReady(t)
	}
	if err := all[2].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, "end of the third", all[2].ended)
	if status := all[2].cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, not by the signal", all[2].cmd.ProcessState)
	}
	all[2] = member(2, "existing")
	all[2].awaitReady(t)
	checkLogOfEtcd(t, all[2].output.String())
}

// checkLogOfEtcd checks that each line is JSON with the fields of etcd's, and that one of them is the
// one that scripts wait for.
func checkLogOfEtcd(t *testing.T, log string) {
	t.Helper()
	ready := false
	for line := range strings.Lines(log) {
		var fields struct{ Level, TS, Caller, Msg string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000000Z0700", fields.TS); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if fields.Level == "" || fields.Caller == "" || fields.Msg == "" || strings.ToLower(fields.Level) != fields.Level {
			t.Errorf("%q has a field less than etcd's", line)
		}
		ready = ready || fields.Msg == readyLine
	}
	if !ready {
		t.Errorf("no line says that it is ready: %s", log)
	}
}

func TestEtcdTellsAnInitDaemonThatItIsReady(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetReadDeadline(time.Now().Add(patience))
	base, dir := freePorts(t, 2), t.TempDir()
	log := filepath.Join(dir, "log")
	cmd := asEtcd(t, "--data-dir", filepath.Join(dir, "data"), "--log-outputs="+log,
		"--auto-tls", "--listen-client-urls", fmt.Sprintf("https://127.0.0.1:%d", base),
		"--peer-auto-tls", "--listen-peer-urls", fmt.Sprintf("https://127.0.0.1:%d", base+1))
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket)
	m := startEtcd(t, cmd)
	message := make([]byte, 100)
	n, err := l.Read(message)
	if err != nil || string(message[:n]) != "READY=1" {
		t.Fatalf("it says %q, %v; its log: %s", message[:n], err, m.output)
	}
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, "end", m.ended)
	if data, err := os.ReadFile(log); err != nil || len(m.output.String()) > 0 {
		t.Errorf("its output: %s, %v", m.output, err)
	} else {
		checkLogOfEtcd(t, string(data))
	}
}

func TestEtcdsAnswersWithoutAServer(t *testing.T) {
	for _, test := range []struct {
		args       []string
		code       int
		says, errs string
	}{
		{[]string{"--version"}, exitOK, "etcd Version: 3.7.", ""},
		{[]string{"-h"}, exitOK, "--listen-client-urls", ""},
		{[]string{"--nonsense"}, exitUsage, "", "flag provided but not defined: -nonsense"},
		{[]string{"--max-txn-ops=many"}, exitUsage, "", "--max-txn-ops"},
		{[]string{"--force-new-cluster"}, exitError, "", "--force-new-cluster is refused"},
		{[]string{"gateway"}, exitError, "", `"gateway" is not a valid flag`},
		{[]string{"--election-timeout=1"}, exitError, "", "election timeout"},
		{[]string{"--initial-cluster-state=old"}, exitUsage, "", "--initial-cluster-state"},
		{[]string{"--log-format=xml"}, exitError, "", "--log-format"},
		{[]string{"--log-outputs=/does/not/exist"}, exitError, "", "--log-outputs"},
	} {
		code, out, errs := balsa(t, "", append([]string{"etcd"}, test.args...)...)
		if code != test.code || !strings.Contains(out, test.says) || !strings.Contains(errs, test.errs) || (errs == "") != (test.errs == "") {
			t.Errorf("%q: code %d, out %q, err %q", test.args, code, out, errs)
		}
	}
}
