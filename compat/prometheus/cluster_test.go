package prometheus

import (
	"bytes"
	"context"
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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take.
const patience = time.Minute

// balsa is the program, which is built once.
var balsa = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "balsa-ops-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "balsa")
	build := exec.Command("go", "build", "-o", path, "./cmd/balsa")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// TestMain removes the program.
func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := balsa(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// cluster is servers n1, n2, ... as processes. Clients connect by TLS, Prometheus by addresses without.
type cluster struct {
	t       testing.TB
	program string
	dir     string
	members string
	servers []*server
}

type server struct {
	name                    string
	clients, peers, metrics string // addresses
	cmd                     *exec.Cmd
}

// start starts a cluster whose certificate is good for so long, with flags, and waits until it answers.
func start(t testing.TB, n int, good time.Duration, flags ...string) *cluster {
	t.Helper()
	program, err := balsa()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, program: program, dir: t.TempDir()}
	c.certify(good)
	var members []string
	for i := range n {
		s := &server{name: fmt.Sprintf("n%d", i+1), clients: freePort(t), peers: freePort(t), metrics: freePort(t)}
		c.servers = append(c.servers, s)
		members = append(members, s.name+"=http://"+s.peers)
	}
	c.members = strings.Join(members, ",")
	t.Cleanup(func() {
		for _, s := range c.servers {
			s.kill()
		}
	})
	for _, s := range c.servers {
		c.run(s, flags...)
	}
	for _, s := range c.servers {
		c.ready(s)
	}
	c.eventually("not all servers have the quota", func() bool { return c.scrape(job).sum("balsa_store_quota_bytes") == float64(n*quota) })
	return c
}

// freePort is an address that nobody listens on, for the moment.
func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

// certify makes a certificate for all servers, which is its own authority.
func (c *cluster) certify(good time.Duration) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(good),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		c.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(c.file(name), pem.EncodeToMemory(block), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// quota is that of all clusters here, in bytes.
const quota = 8 << 20

// run starts the process of a server: one with etcd's flags, which can have a quota.
func (c *cluster) run(s *server, flags ...string) {
	c.t.Helper()
	s.cmd = exec.Command(c.program, append([]string{
		"etcd", "--name", s.name, "--data-dir", c.file(s.name), "--log-level", "warn", "--quota-backend-bytes", fmt.Sprint(quota),
		"--initial-cluster", c.members, "--initial-advertise-peer-urls", "http://" + s.peers, "--listen-peer-urls", "http://" + s.peers,
		"--listen-client-urls", "https://" + s.clients, "--advertise-client-urls", "https://" + s.clients,
		"--cert-file", c.file("cert.pem"), "--key-file", c.file("key.pem"), "--listen-metrics-urls", "http://" + s.metrics,
	}, flags...)...)
	if testing.Verbose() {
		s.cmd.Stderr = os.Stderr
	}
	if err := s.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
}

// kill ends a process as a loss of power would.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// ready waits until a server answers reads of the cluster.
func (c *cluster) ready(s *server) {
	c.t.Helper()
	c.eventually(s.name+" is not ready", func() bool {
		r, err := http.Get("http://" + s.metrics + "/readyz")
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

func (c *cluster) eventually(otherwise string, is func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatal(otherwise)
		}
	}
}

// try runs a command.
func (c *cluster) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, args...)
	var endpoints []string
	for _, s := range c.servers {
		endpoints = append(endpoints, "https://"+s.clients)
	}
	cmd.Env = append(os.Environ(), "BALSA_ENDPOINTS="+strings.Join(endpoints, ","), "BALSA_CACERT="+c.file("cert.pem"))
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("balsa %s: %w: %s", strings.Join(args, " "), err, bad.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// do is try of a command that succeeds.
func (c *cluster) do(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// etcd calls a method of etcd's API at a server, as JSON, and returns the status.
func (c *cluster) etcd(s *server, path, body string) int {
	c.t.Helper()
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(c.file("cert.pem"))
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		c.t.Fatal("no certificate: ", err)
	}
	client := clientOf(pool)
	defer client.CloseIdleConnections()
	r, err := client.Post("https://"+s.clients+"/v3/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	_, _ = io.Copy(io.Discard, r.Body)
	return r.StatusCode
}
