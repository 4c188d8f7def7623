package clients

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"
	"testing"

	"balsa.example/compat/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Run(m)) }

// start starts a server with flags, waits until it answers, and returns the host and port of its clients.
func start(t *testing.T, scheme string, flags ...string) string {
	t.Helper()
	clients, metrics := rig.FreePort(t), rig.FreePort(t)
	rig.Start(t, append([]string{
		"serve", "--name", "n1", "--data-dir", filepath.Join(t.TempDir(), "n1"), "--log-level", "warn",
		"--listen-client-urls", scheme + "://" + clients, "--listen-peer-urls", "http://" + rig.FreePort(t), "--listen-metrics-urls", "http://" + metrics,
	}, flags...)...)
	rig.Ready(t, "the server", metrics)
	return clients
}

// certify makes the files that docs/tls.md makes, as far as clients need them: a CA, a server's certificate and a client's.
func certify(t *testing.T, dir string) {
	t.Helper()
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "client-ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey := rig.Certificate(t, dir, ca, ca, nil)
	rig.Certificate(t, dir, &x509.Certificate{Subject: pkix.Name{CommonName: "n1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, ca, caKey)
	rig.Certificate(t, dir, &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}}, ca, caKey)
}
