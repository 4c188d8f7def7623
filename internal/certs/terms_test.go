package certs

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/certs/certstest"
)

func openFiles(t *testing.T, f Files) *Source {
	t.Helper()
	s, err := Open("peer", f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVersionsAndSuitesAreThoseAskedFor(t *testing.T) {
	ca := certstest.NewCA(t, "ca")
	f := files(certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n1"}), ca.PEM))
	const suite = tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
	for name, test := range map[string]struct {
		dialer, acceptor Terms
		version, suite   uint16 // 0: any, or none
		says             string
	}{
		"Go's":       {version: tls.VersionTLS13},
		"old":        {acceptor: Terms{MaxVersion: tls.VersionTLS12}, version: tls.VersionTLS12},
		"one suite":  {dialer: Terms{MaxVersion: tls.VersionTLS12}, acceptor: Terms{CipherSuites: []uint16{suite}}, version: tls.VersionTLS12, suite: suite},
		"no version": {dialer: Terms{MaxVersion: tls.VersionTLS12}, acceptor: Terms{MinVersion: tls.VersionTLS13}, says: "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			d, a := f, f
			d.Terms, a.Terms = test.dialer, test.acceptor
			seen, err := connect(t, openFiles(t, d), openFiles(t, a))
			switch {
			case test.says != "":
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v", err)
				}
			case err != nil || seen.Version != test.version || test.suite != 0 && seen.CipherSuite != test.suite:
				t.Errorf("version %x, suite %x, %v", seen.Version, seen.CipherSuite, err)
			}
		})
	}
}

func TestRevokedCertificatesAreNotTaken(t *testing.T) {
	ca := certstest.NewCA(t, "ca")
	good, bad := ca.Issue(certstest.Leaf{CN: "good"}), ca.Issue(certstest.Leaf{CN: "bad"})
	list := filepath.Join(t.TempDir(), "revoked.pem")
	if err := os.WriteFile(list, ca.Revoke(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	strict := files(certstest.Write(t, good, ca.PEM))
	strict.Revoked = list
	for _, test := range []struct {
		dialer, acceptor Files
		ok               bool
	}{
		{strict, strict, true},
		{files(certstest.Write(t, bad, ca.PEM)), strict, false},
		{strict, files(certstest.Write(t, bad, ca.PEM)), false},
	} {
		if _, err := connect(t, openFiles(t, test.dialer), openFiles(t, test.acceptor)); (err == nil) != test.ok {
			t.Errorf("connected: %v, want %t", err, test.ok)
		}
	}
	if err := os.WriteFile(list, []byte("no list"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("peer", strict, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), list) {
		t.Errorf("a list that is none: %v", err)
	}
}

func TestCertificateOfItsOwnMaking(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "fixtures", "peer"), time.Now()
	make := func(now time.Time) *Source {
		t.Helper()
		cert, key, err := SelfSigned(dir, []string{"127.0.0.1", "localhost"}, 1, now)
		if err != nil {
			t.Fatal(err)
		}
		return openFiles(t, Files{Cert: cert, Key: key, Unverified: true, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	}
	first := make(now)
	leaf := first.good.Load().Certificate.Leaf
	if leaf.VerifyHostname("127.0.0.1") != nil || leaf.VerifyHostname("localhost") != nil || leaf.NotAfter.After(now.AddDate(1, 0, 1)) {
		t.Errorf("it names %s, until %s", Describe(leaf), leaf.NotAfter)
	}
	if again := make(now.AddDate(0, 11, 0)); serial(again.good.Load()) != serial(first.good.Load()) {
		t.Error("it is made again at each start")
	}
	if later := make(now.AddDate(1, 0, 0)); serial(later.good.Load()) == serial(first.good.Load()) {
		t.Error("it is not made again when it ends")
	}
	ca := certstest.NewCA(t, "ca")
	for _, unverified := range []bool{true, false} {
		d := files(certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n1"}), ca.PEM))
		d.Unverified = unverified
		if _, err := connectDemanding(t, openFiles(t, d), first, false); (err == nil) != unverified {
			t.Errorf("unverified %t: %v", unverified, err)
		}
	}
}
