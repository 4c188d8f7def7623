package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/certs/certstest"
)

// Who has the wrong files, or the wrong scheme, is told so at once, and not after --timeout
// that there may be no majority.
func TestTheCommandLineTellsWhatIsWrongWithTLS(t *testing.T) {
	base := freePorts(t, 2)
	ca, other := certstest.NewCA(t, "ca"), certstest.NewCA(t, "other")
	node := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n1", Hosts: []string{"127.0.0.1"}}), ca.PEM)
	alice := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "alice"}), other.PEM)
	_, stop := background(t, "ready to serve", "serve", "--data-dir", filepath.Join(t.TempDir(), "d"),
		"--listen-client-urls", fmt.Sprintf("https://127.0.0.1:%d", base), "--listen-peer-urls", fmt.Sprintf("http://127.0.0.1:%d", base+1),
		"--cert-file", node.Cert, "--key-file", node.Key, "--trusted-ca-file", node.CA, "--client-cert-auth")
	defer stop()
	address := fmt.Sprintf("127.0.0.1:%d", base)
	mine := []string{"--cert", alice.Cert, "--key", alice.Key}
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"right":          {append(mine, "--cacert", node.CA, "--endpoints", "https://"+address), exitOK, ""},
		"wrong CA":       {append(mine, "--cacert", alice.CA, "--endpoints", "https://"+address), exitUnavailable, "an authority that is not trusted here"},
		"no certificate": {[]string{"--cacert", node.CA, "--endpoints", "https://" + address}, exitUnavailable, "demands a certificate"},
		"http":           {[]string{"--endpoints", address}, exitUnavailable, "must begin with https://"},
		"wrong key":      {[]string{"--cert", alice.Cert, "--key", node.Key, "--endpoints", address}, exitUsage, "does not match"},
	} {
		for _, command := range [][]string{{"put", "a", "1"}, {"status"}, {"health"}} {
			start := time.Now()
			code, _, stderr := balsa(t, "", append(append(command, "--timeout", "20s"), tc.args...)...)
			if code != tc.code || !strings.Contains(stderr, tc.want) || strings.Contains(stderr, "majority") || time.Since(start) > 15*time.Second {
				t.Errorf("%s: %s: code %d after %s: %s", name, command[0], code, time.Since(start), stderr)
			}
		}
	}
}

func TestTheCommandLineTellsThatAServerSpeaksNoTLS(t *testing.T) {
	endpoint := strings.Replace(oneServer(t), "http://", "https://", 1)
	for _, command := range [][]string{{"put", "a", "1"}, {"status"}, {"health"}} {
		code, _, stderr := balsa(t, "", append(command, endpoint)...)
		if code != exitUnavailable || !strings.Contains(stderr, "must begin with http://") {
			t.Errorf("%s: code %d: %s", command[0], code, stderr)
		}
	}
}

// The two addresses of a server are taken for each other.
func TestTheCommandLineTellsThatAnAddressIsForServers(t *testing.T) {
	base := freePorts(t, 2)
	_, stop := background(t, "ready to serve", "serve", "--data-dir", filepath.Join(t.TempDir(), "d"),
		"--listen-client-urls", loopback(base), "--listen-peer-urls", loopback(base+1))
	defer stop()
	address := strings.TrimPrefix(loopback(base+1), "http://")
	for _, command := range [][]string{{"put", "a", "1"}, {"watch", "a"}, {"status"}, {"health"}} {
		for _, endpoint := range []string{address, "http://" + address, "https://" + address} {
			start := time.Now()
			code, _, stderr := balsa(t, "", append(command, "--timeout", "20s", "--endpoints", endpoint)...)
			if code != exitUnavailable || !strings.Contains(stderr, "this is an address for servers; clients use the one of --listen-client-urls") ||
				strings.Contains(stderr, "majority") || time.Since(start) > 15*time.Second {
				t.Errorf("%s at %s: code %d after %s: %s", command[0], endpoint, code, time.Since(start), stderr)
			}
		}
	}
}
