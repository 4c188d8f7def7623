package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/certs/certstest"
)

func TestHealthTellsWhatIsWrong(t *testing.T) {
	base, dir := freePorts(t, 4), t.TempDir()
	client, peer := loopback(base), loopback(base+1)
	_, stop := background(t, "waiting for n2", "serve", "--name", "n1", "--data-dir", filepath.Join(dir, "n1"),
		"--initial-cluster", fmt.Sprintf("n1=%s,n2=%s", peer, loopback(base+2)), "--listen-client-urls", client, "--listen-peer-urls", peer)
	host := strings.TrimPrefix(client, "http://")
	mute, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for _, test := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"--live", "--endpoints", client}, exitUnavailable, "", host + " is not alive: [-]serializable_read failed"},
		{[]string{"--endpoints", host}, exitUnavailable, "", "waiting for n2"},
		{[]string{"--endpoints", client + "," + loopback(base+3)}, exitUnavailable, "", "is not ready"},
		{[]string{"--live", "--endpoints", loopback(base + 3)}, exitUnavailable, "", "is not alive"},
		{[]string{"--timeout", "50ms", "--endpoints", mute.Addr().String()}, exitUnavailable, "", "no answer within 50ms; a server that knows no leader"},
		{[]string{"--endpoints", host, "--cert", "a"}, exitUsage, "", "--cert and --key go together"},
		{[]string{"--endpoints", host, "--cacert", filepath.Join(dir, "no")}, exitUsage, "", "--cacert"},
		{[]string{"--timeout", "0s"}, exitUsage, "", "--timeout"},
	} {
		code, out, errs := balsa(t, "", append([]string{"health"}, test.args...)...)
		if code != test.code || out != test.out || !strings.Contains(errs, test.errs) || strings.Count(errs, "\n") > 1 {
			t.Errorf("%q: code %d, out %q, err %q", test.args, code, out, errs)
		}
	}
	stop()
}

func TestHealthAsksOverTLS(t *testing.T) {
	base := freePorts(t, 2)
	ca := certstest.NewCA(t, "ca")
	node := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n1", Hosts: []string{"127.0.0.1"}}), ca.PEM)
	client := fmt.Sprintf("https://127.0.0.1:%d", base)
	_, stop := background(t, "ready to serve", "serve", "--data-dir", filepath.Join(t.TempDir(), "d"),
		"--listen-client-urls", client, "--listen-peer-urls", loopback(base+1),
		"--cert-file", node.Cert, "--key-file", node.Key, "--trusted-ca-file", node.CA, "--client-cert-auth")
	defer stop()
	to := []string{"--endpoints", client, "--cacert", node.CA, "--cert", node.Cert, "--key", node.Key}
	if code, _, errs := balsa(t, "", append([]string{"put", "a", "1"}, to...)...); code != exitOK { // it leads now
		t.Fatal(code, errs)
	}
	if code, out, errs := balsa(t, "", append([]string{"health"}, to...)...); code != exitOK || out != fmt.Sprintf("127.0.0.1:%d is ready\n", base) {
		t.Errorf("code %d, out %q, err %q", code, out, errs)
	}
	if code, out, errs := balsa(t, "", append([]string{"health", "--live"}, to...)...); code != exitOK || out != fmt.Sprintf("127.0.0.1:%d is alive\n", base) {
		t.Errorf("code %d, out %q, err %q", code, out, errs)
	}
	if code, _, errs := balsa(t, "", "health", "--endpoints", client); code != exitUnavailable || !strings.Contains(errs, "certificate") {
		t.Errorf("without the CA: code %d, err %q", code, errs)
	}
}

// A unit of Type=notify begins when its server serves.
func TestServeTellsAnInitDaemonThatItIsReady(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetReadDeadline(time.Now().Add(patience))
	base := freePorts(t, 2)
	log := newLines()
	p := program{stdout: log, stderr: log, env: func(name string) (string, bool) {
		if name == "NOTIFY_SOCKET" {
			return socket, true
		}
		return "", false
	}}
	ctx, ended := t.Context(), make(chan int, 1)
	go func() {
		ended <- p.run(ctx, []string{"serve", "--data-dir", filepath.Join(dir, "data"), "--listen-client-urls", loopback(base), "--listen-peer-urls", loopback(base + 1)})
	}()
	t.Cleanup(func() { <-ended })
	message := make([]byte, 100)
	if n, err := l.Read(message); err != nil || string(message[:n]) != "READY=1" {
		t.Fatalf("it says %q, %v; its log: %s", message[:n], err, log)
	}
}
