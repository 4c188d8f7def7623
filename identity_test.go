package balsa

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/internal/certs/certstest"
	"balsa.example/internal/check/leak"
	"balsa.example/member"
	"balsa.example/rsm"
)

// hashedCounter tells a wrong state when it is told to.
type hashedCounter struct {
	counter
	wrong atomic.Bool
}

func (c *hashedCounter) Hash() uint64 {
	if c.wrong.Load() {
		return 1 << 40
	}
	return uint64(c.value())
}

func TestADirectoryOfAReplicaThatDivergedIsCondemned(t *testing.T) {
	c := newTrio(t, nil)
	c.add("n1", 1, 1)
	machines := map[string]*hashedCounter{}
	var odd string
	for _, name := range []string{"n1", "n2", "n3"} { // again, with another kind of machine
		c.stop(name)
	}
	for _, name := range []string{"n1", "n2", "n3"} {
		cfg := c.configs[name]
		cfg.HeartbeatInterval, cfg.ElectionTimeout = 10*time.Millisecond, time.Second
		machines[name] = &hashedCounter{}
		cfg.Machine = machines[name]
		c.nodes[name] = start(t, cfg)
		odd = name
	}
	machines[odd].wrong.Store(true)
	await(t, "Failed", c.nodes[odd].Failed())
	if err := c.nodes[odd].Err(); !errors.Is(err, rsm.ErrDiverged) {
		t.Errorf("failed with %v", err)
	}
	c.stop(odd)
	cfg := c.configs[odd]
	cfg.Machine = &hashedCounter{}
	if _, err := Start(cfg); !errors.Is(err, rsm.ErrDiverged) {
		t.Errorf("it starts again: %v", err)
	}
	c.add("n1", 1, 2)
}

func tlsOf(d certstest.Dir) member.TLS {
	return member.TLS{CertFile: d.Cert, KeyFile: d.Key, CAFile: d.CA}
}

// TLS is mutual: a certificate of the right authority that names another member lets nobody
// in. Files that are renewed are used without a restart.
func TestCertificatesNameTheirMembers(t *testing.T) {
	ca := certstest.NewCA(t, "ca")
	dirs := map[string]certstest.Dir{}
	c := newTrio(t, func(cfg *Config[int, int]) {
		dirs[cfg.Name] = certstest.Write(t, ca.Issue(certstest.Leaf{CN: cfg.Name}), ca.PEM)
		cfg.TLS = tlsOf(dirs[cfg.Name])
	})
	c.add("n1", 1, 1)

	// All get certificates of a new authority, while they trust both.
	next := certstest.NewCA(t, "next ca")
	both := append(append([]byte{}, ca.PEM...), next.PEM...)
	for _, d := range dirs {
		d.Put(d.CA, both)
	}
	for name, d := range dirs {
		pair := next.Issue(certstest.Leaf{CN: name})
		d.Put(d.Key, pair.Key)
		d.Put(d.Cert, pair.Cert)
	}
	for _, d := range dirs {
		d.Put(d.CA, next.PEM)
	}
	c.stop("n3")
	c.start("n3")
	c.add("n3", 1, 2) // so the others show what the new authority has issued: n3 trusts no other

	// n3 is gone, and another process speaks for it, with a certificate of n2.
	c.stop("n3")
	cfg := c.configs["n3"]
	cfg.TLS = tlsOf(certstest.Write(t, next.Issue(certstest.Leaf{CN: "n2"}), next.PEM))
	if _, err := Start(cfg); !errors.Is(err, member.ErrConfig) {
		t.Fatalf("n3 starts with a certificate of n2: %v", err)
	}
	cfg.TLS.AllowedCNs = []string{"n1", "n2"} // which is its own business
	cfg.Machine = &counter{}
	n := start(t, cfg)
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		certificates, _ := c.nodes["n1"].member.Certificates()
		if peers := n.Status().Peers; certificates.Refused > 0 && peers[0].LastError != "" && peers[1].LastError != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody refuses it: %+v", n.Status().Peers)
		}
	}
	for _, p := range n.Status().Peers {
		if p.Connected {
			t.Errorf("it is connected to %s", p.Name)
		}
	}
	c.add("n1", 1, 3)
}

// A copy of a directory is another process of the same member: it is kept out while the
// first one lives.
func TestACopiedDirectoryIsShutOut(t *testing.T) {
	c := newTrio(t, nil)
	c.add("n1", 1, 1)
	c.stop("n3")
	cfg := c.configs["n3"]
	cfg.Dir += " copy"
	if err := os.CopyFS(cfg.Dir, os.DirFS(c.configs["n3"].Dir)); err != nil {
		t.Fatal(err)
	}
	c.start("n3")
	c.add("n3", 1, 2)
	l := leak.Listen(t)
	cfg.Listen, cfg.Machine = l.Addr().String(), &counter{}
	l.Close()
	twin := start(t, cfg)
	twice := func(p Peer) bool { return !p.Connected && strings.Contains(p.LastError, "twice") }
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if peers := twin.Status().Peers; twice(peers[0]) && twice(peers[1]) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the copy is not shut out: %+v", twin.Status().Peers)
		}
	}
	c.add("n3", 1, 3)
}
