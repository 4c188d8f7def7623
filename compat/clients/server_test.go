package clients

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// patience is how long anything may take.
const patience = time.Minute

// programs is a directory for the program.
var programs string

// balsa is the program, which is built once.
var balsa = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs, "balsa")
	build := exec.Command("go", "build", "-o", path, "./cmd/balsa")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "balsa-clients-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

// start starts a server with flags, waits until it answers, and returns the host and port of its clients.
func start(t *testing.T, scheme string, flags ...string) string {
	t.Helper()
	program, err := balsa()
	if err != nil {
		t.Fatal(err)
	}
	clients, metrics := freePort(t), freePort(t)
	cmd := exec.Command(program, append([]string{
		"serve", "--name", "n1", "--data-dir", filepath.Join(t.TempDir(), "n1"), "--log-level", "warn",
		"--listen-client-urls", scheme + "://" + clients, "--listen-peer-urls", "http://" + freePort(t), "--listen-metrics-urls", "http://" + metrics,
	}, flags...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(patience); !ready(metrics); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server is not ready")
		}
	}
	return clients
}

func ready(address string) bool {
	r, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// freePort is an address that nobody listens on, for the moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// certify makes the files that docs/tls.md makes, as far as clients need them: a CA, a server's certificate and a client's.
func certify(t *testing.T, dir string) {
	t.Helper()
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "client-ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey := certificate(t, dir, ca, ca, nil)
	certificate(t, dir, &x509.Certificate{Subject: pkix.Name{CommonName: "n1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, ca, caKey)
	certificate(t, dir, &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}}, ca, caKey)
}

// certificate writes a certificate, called by its common name, and its key. Without a key of the CA it is its own.
func certificate(t *testing.T, dir string, about, ca *x509.Certificate, caKey *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if caKey == nil {
		caKey = key
	}
	about.SerialNumber, about.NotBefore, about.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	cert, err := x509.CreateCertificate(rand.Reader, about, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: cert}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, about.Subject.CommonName+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key
}
