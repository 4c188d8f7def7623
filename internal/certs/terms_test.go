package certs

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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

func writeFile(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }

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
	other := certstest.NewCA(t, "other")
	both := append(other.Revoke(other.Issue(certstest.Leaf{CN: "bad"})), ca.Revoke(bad)...)
	if err := os.WriteFile(list, both, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, openFiles(t, files(certstest.Write(t, bad, ca.PEM))), openFiles(t, strict)); err == nil {
		t.Error("of two lists only the first counts")
	}
	// A list counts for those of its own authority, whose numbers another one may have given out, too.
	if err := os.WriteFile(list, slices.Concat(ca.PEM, other.Revoke(good), ca.Revoke(bad)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, openFiles(t, strict), openFiles(t, strict)); err != nil {
		t.Errorf("revoked by the list of another authority: %v", err)
	}
	if _, err := connect(t, openFiles(t, files(certstest.Write(t, bad, ca.PEM))), openFiles(t, strict)); err == nil {
		t.Error("a list behind a certificate and another list does not count")
	}
	if err := os.WriteFile(list, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("peer", strict, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "no list") {
		t.Errorf("a file without a list: %v", err)
	}
	if err := os.WriteFile(list, both[:len(both)-30], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("peer", strict, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("half a list: %v", err)
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
		cert, key, err := SelfSigned(dir, []string{"127.0.0.1", "localhost"}, 1, now, writeFile)
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

// What a crash has left of a certificate of its own making does not keep a server from starting.
func TestHalfAPairOfItsOwnMakingIsMadeAgain(t *testing.T) {
	now := time.Now()
	other := certstest.NewCA(t, "ca").Issue(certstest.Leaf{CN: "n1"})
	for name, crash := range map[string]func(cert, key string) error{
		"an empty certificate":   func(cert, _ string) error { return os.Truncate(cert, 0) },
		"half a certificate":     func(cert, _ string) error { return os.Truncate(cert, 100) },
		"an empty key":           func(_, key string) error { return os.Truncate(key, 0) },
		"no key":                 func(_, key string) error { return os.Remove(key) },
		"no certificate":         func(cert, _ string) error { return os.Remove(cert) },
		"the key of another one": func(_, key string) error { return os.WriteFile(key, other.Key, 0o600) },
		"what was being written": func(cert, _ string) error { return os.WriteFile(cert+".tmp", []byte("-----BEG"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "fixtures", "client")
			cert, key, err := SelfSigned(dir, []string{"127.0.0.1"}, 1, now, writeFile)
			if err != nil {
				t.Fatal(err)
			}
			if err := crash(cert, key); err != nil {
				t.Fatal(err)
			}
			if _, _, err := SelfSigned(dir, []string{"127.0.0.1"}, 1, now, writeFile); err != nil {
				t.Fatal(err)
			}
			openFiles(t, Files{Cert: cert, Key: key})
			for _, file := range []string{cert, key} {
				if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s: %v", file, err)
				}
			}
		})
	}
	blocked := filepath.Join(t.TempDir(), "fixtures")
	if err := os.MkdirAll(filepath.Join(blocked, "key.pem"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(blocked, "cert.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := SelfSigned(blocked, nil, 1, now, writeFile); err == nil {
		t.Error("a key that cannot be read was replaced")
	}
}
