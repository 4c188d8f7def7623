package prometheus

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/compat/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Run(m)) }

// cluster is servers n1, n2, ... as processes. Clients connect by TLS, Prometheus by addresses without.
type cluster struct {
	t       testing.TB
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
	c := &cluster{t: t, dir: t.TempDir()}
	c.certify(good)
	var members []string
	for i := range n {
		s := &server{name: fmt.Sprintf("n%d", i+1), clients: rig.FreePort(t), peers: rig.FreePort(t), metrics: rig.FreePort(t)}
		c.servers = append(c.servers, s)
		members = append(members, s.name+"=http://"+s.peers)
	}
	c.members = strings.Join(members, ",")
	for _, s := range c.servers {
		c.run(s, flags...)
	}
	for _, s := range c.servers {
		c.ready(s)
	}
	c.eventually("not all servers have the quota", func() bool { return c.scrape(job).sum("balsa_store_quota_bytes") == float64(n*quota) })
	return c
}

func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

// certify makes a certificate for all servers, which is its own authority.
func (c *cluster) certify(good time.Duration) {
	c.t.Helper()
	about := &x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(good),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	rig.Certificate(c.t, c.dir, about, about, nil)
}

// quota is that of all clusters here, in bytes.
const quota = 8 << 20

// run starts the process of a server: one with etcd's flags, which can have a quota.
func (c *cluster) run(s *server, flags ...string) {
	c.t.Helper()
	s.cmd = rig.Start(c.t, append([]string{
		"etcd", "--name", s.name, "--data-dir", c.file(s.name), "--log-level", "warn", "--quota-backend-bytes", fmt.Sprint(quota),
		"--initial-cluster", c.members, "--initial-advertise-peer-urls", "http://" + s.peers, "--listen-peer-urls", "http://" + s.peers,
		"--listen-client-urls", "https://" + s.clients, "--advertise-client-urls", "https://" + s.clients,
		"--cert-file", c.file("server.pem"), "--key-file", c.file("server.key"), "--listen-metrics-urls", "http://" + s.metrics,
	}, flags...)...)
}

// kill ends a process as a loss of power would.
func (s *server) kill() {
	rig.Kill(s.cmd)
	s.cmd = nil
}

// ready waits until a server answers reads of the cluster.
func (c *cluster) ready(s *server) {
	c.t.Helper()
	rig.Ready(c.t, s.name, s.metrics)
}

func (c *cluster) eventually(otherwise string, is func() bool) {
	c.t.Helper()
	rig.Eventually(c.t, otherwise, is)
}

// try runs a command.
func (c *cluster) try(args ...string) (string, error) {
	c.t.Helper()
	var endpoints []string
	for _, s := range c.servers {
		endpoints = append(endpoints, "https://"+s.clients)
	}
	return rig.Do(c.t, []string{"BALSA_ENDPOINTS=" + strings.Join(endpoints, ","), "BALSA_CACERT=" + c.file("server.pem")}, args...)
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
	pem, err := os.ReadFile(c.file("server.pem"))
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
