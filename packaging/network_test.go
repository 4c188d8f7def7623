package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// network is names of hosts that lead to addresses of loopback, in processes that it starts: they
// see an /etc/hosts of their own.
type network struct {
	t         *testing.T
	program   string
	dir       string // what is below / in a container is below this
	addresses map[string]string
}

func newNetwork(t *testing.T, hosts ...string) *network {
	t.Helper()
	isolated(t)
	dir := t.TempDir()
	n := &network{t, unpack(t, one(t, "*.tar.gz"), dir), dir, map[string]string{}}
	for i, host := range hosts {
		n.addresses[host] = fmt.Sprintf("127.%d.%d.%d", 100+os.Getpid()>>7&63, os.Getpid()&127+1, i+1)
	}
	n.write()
	return n
}

// give makes a name lead where another one does.
func (n *network) give(name, other string) {
	n.addresses[name] = n.addresses[other]
	n.write()
}

func (n *network) write() {
	var hosts strings.Builder
	for host, ip := range n.addresses {
		fmt.Fprintln(&hosts, ip, host)
	}
	writeFiles(n.t, n.dir, map[string][]byte{"hosts": []byte(hosts.String())})
}

// command is balsa as it would run in a container on host: where it names all addresses, it has
// that of the host.
func (n *network) command(host string, env []string, args ...string) *exec.Cmd {
	for _, path := range []string{"/data", "/tls", "/secret", "/backup"} {
		args = replaceAll(args, "="+path+"/", "="+n.dir+path+"/")
		for i := range args {
			if strings.HasPrefix(args[i], path+"/") {
				args[i] = n.dir + args[i]
			}
		}
	}
	args, env = replaceAll(args, "0.0.0.0", n.addresses[host]), replaceAll(env, "0.0.0.0", n.addresses[host])
	cmd := exec.Command("unshare", slices.Concat([]string{"--mount", "--propagation", "private", "sh", "-c",
		`mount --bind "$0" /etc/hosts && exec "$@"`, filepath.Join(n.dir, "hosts"), n.program}, args)...)
	cmd.Env = append(append(os.Environ(), "NO_PROXY=*"), env...) // no proxy knows these hosts
	return cmd
}

// pod is a server that runs.
type pod struct {
	host string
	cmd  *exec.Cmd
	log  output
}

// output is what a process writes, and may be read meanwhile.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// serve runs a server, which is ended with the test if not before.
func (n *network) serve(host string, args []string, env ...string) *pod {
	n.t.Helper()
	p := &pod{host: host, cmd: n.command(host, env, args...)}
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		err := p.end()
		if n.t.Failed() || err != nil {
			n.t.Errorf("%s ended: %v\n%s", host, err, p.log.String())
		}
	})
	return p
}

// end ends a server that still runs.
func (p *pod) end() error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	p.cmd.Process.Signal(os.Interrupt)
	return p.cmd.Wait()
}

// ends waits until a server ends by itself, with a code and a reason.
func (n *network) ends(p *pod, code int, reason string) {
	n.t.Helper()
	p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(p.log.String(), reason) {
		n.t.Fatalf("%s ended with %d, want %d and %q in %s", p.host, got, code, reason, p.log.String())
	}
}

// balsa runs a command, which must succeed.
func (n *network) balsa(host string, args ...string) string {
	n.t.Helper()
	out, err := n.command(host, nil, args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("balsa %q: %v: %s", args, err, out)
	}
	return string(out)
}

// await runs a command until it succeeds.
func (n *network) await(host string, args ...string) {
	n.t.Helper()
	n.awaitOutput(host, func(string) bool { return true }, args...)
}

// awaitOutput runs a command until it succeeds, and what it writes is good.
func (n *network) awaitOutput(host string, good func(string) bool, args ...string) {
	n.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		out, err := n.command(host, nil, args...).CombinedOutput()
		if err == nil && good(string(out)) {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("balsa %q: %v: %s", args, err, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// authority signs all certificates of the tests.
var authorityKey, authority = func() (*ecdsa.PrivateKey, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return key, parsed
}()

// certificate is a secret as the chart wants it, for these names.
func certificate(t *testing.T, names ...string) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), authorityKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return map[string][]byte{"tls.crt": encode("CERTIFICATE", der), "tls.key": encode("PRIVATE KEY", private), "ca.crt": encode("CERTIFICATE", authority.Raw)}
}
