package server

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/birth"
	"balsa.example/internal/certs"
	"balsa.example/internal/certs/certstest"
	"balsa.example/internal/datadir"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/transport"
)

// A certificate of the same authority, but of a client, speaks for no member: an append
// that is forged with it does not arrive, and the refusal tells nothing.
func TestAClientsCertificateSpeaksForNoMember(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, tls: true})
	var log lockedLog
	c.configs[0].Logger = slog.New(slog.NewTextHandler(&log, nil))
	c.startAll()
	c.put("a", "1", 0)
	victim, spoken := c.servers[0], c.configs[1]
	known := recordOf(t, spoken)
	for name, leaf := range map[string]certstest.Leaf{
		"a client":             {CN: "client"},
		"a client of the host": {CN: "client", Hosts: []string{"127.0.0.1"}},
		"another member":       {CN: "n3", Hosts: []string{"127.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			pair := c.ca.Issue(leaf)
			cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(c.ca.PEM)
			forge(t, spoken, victim, known, "does not name the member", func(c *transport.Config) {
				c.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool}
			})
		})
	}
	log.await(t, "certificate does not name the member")
	if !strings.Contains(log.String(), "address=127.0.0.1:") {
		t.Errorf("no address in %s", &log)
	}
}

func TestListsOfWhoIsAllowed(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, tls: true})
	for i := range c.configs {
		pair := c.ca.Issue(certstest.Leaf{CN: "balsa-peer", Hosts: []string{"127.0.0.1"}}) // names no member
		c.dirs[i].Put(c.dirs[i].Cert, pair.Cert)
		c.dirs[i].Put(c.dirs[i].Key, pair.Key)
		c.configs[i].PeerTLS.AllowedCNs = []string{"balsa-peer"}
		c.configs[i].ClientTLS.AllowedHostnames = []string{"apps.example.com"}
	}
	var log lockedLog
	c.configs[0].Logger = slog.New(slog.NewTextHandler(&log, nil))
	c.startAll()
	c.clerk.Close()
	c.clerk = c.newClerk(c.ca.Issue(certstest.Leaf{CN: "x", Hosts: []string{"apps.example.com"}}), c.ca.PEM)
	c.put("a", "1", 0)

	other := c.newClerk(c.ca.Issue(certstest.Leaf{CN: "x", Hosts: []string{"127.0.0.1"}}), c.ca.PEM)
	defer other.Close()
	if _, err := other.Status(t.Context(), c.endpoints[0]); err == nil {
		t.Error("a client that is not in the list got in")
	}
	log.await(t, "none of those allowed (apps.example.com)")
}

// A client that is refused is in the log, with its address and the reason, but not each
// of a thousand.
func TestRefusedClientsAreLogged(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, tls: true})
	var log lockedLog
	c.configs[0].Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := c.start(0)
	past := certstest.Leaf{CN: "late", NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
	for want, pair := range map[string]certstest.Pair{
		"certificate has expired":                 c.ca.Issue(past),
		"certificate signed by unknown authority": certstest.NewCA(t, "other").Issue(certstest.Leaf{CN: "x"}),
		"client didn't provide a certificate":     {},
		"the other side does not speak TLS":       {},
	} {
		refuse(t, c, pair, strings.Contains(want, "does not speak TLS"))
		log.await(t, want)
	}
	for range 30 {
		refuse(t, c, certstest.Pair{}, true)
	}
	for deadline := time.Now().Add(patience); s.port.RefusedByTLS() < 34 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	n := strings.Count(log.String(), "client refused")
	if s.port.RefusedByTLS() < 34 || n < 4 || n > 2*clients.RefusalLines || !strings.Contains(log.String(), "address=127.0.0.1:") {
		t.Errorf("%d refused, %d lines: %s", s.port.RefusedByTLS(), n, &log)
	}
}

// refuse connects to the first server, which does not let it in.
func refuse(t *testing.T, c *testCluster, pair certstest.Pair, plain bool) {
	t.Helper()
	address := c.configs[0].ListenClient[0].Host
	if plain {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		answer := make([]byte, 16)
		if n, err := conn.Read(answer); err != nil || !certs.IsTLS(answer[:n]) {
			t.Errorf("answered %x, %v", answer[:n], err)
		}
		return
	}
	conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{clients.ProtocolHTTP2}}
	if pair.Cert != nil {
		cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	conn, err := tls.Dial("tcp", address, conf)
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a client was let in")
	}
}

// recordOf is what the directory of a member says of itself.
func recordOf(t *testing.T, cfg Config) birth.Record {
	t.Helper()
	self, _ := cfg.Cluster.Named(cfg.Name)
	file, err := datadir.OpenMemberFile(cfg.FS, cfg.DataDir, datadir.Owner{
		About: roster.About{Name: cfg.Name}, ID: self.ID, Group: cfg.Cluster.Group, Members: cfg.Cluster.IDs(), NameOf: cfg.Cluster.NameOf,
	})
	if err != nil {
		t.Fatal(err)
	}
	return file.Record()
}

// forge speaks to the victim as another member would, with all that this one knows, and
// is refused for the reason given without being told anything.
func forge(t *testing.T, spoken Config, victim *Server, known birth.Record, why string, change func(*transport.Config)) {
	t.Helper()
	member, _ := spoken.Cluster.Named(spoken.Name)
	cfg := transport.Config{
		ID: member.ID, Group: spoken.Cluster.Group,
		Handshake: transport.Handshake{
			Card: func() []byte { return birth.AppendRecord(nil, known) },
			Admit: func(_ raft.NodeID, card []byte) error {
				t.Errorf("the forger was shown %x", card)
				return nil
			},
		},
		Listen: "127.0.0.1:0",
		Peers:  map[raft.NodeID]string{victim.id(): hosts(victim.cfg.AdvertisePeer)},
		Logger: slog.New(slog.DiscardHandler),
	}
	change(&cfg)
	forger, err := transport.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer forger.Close()
	var seen transport.PeerStatus
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && seen.LastError == "" && !seen.Connected; time.Sleep(time.Millisecond) {
		seen, _ = forger.Peer(victim.id())
	}
	if seen.Connected || seen.Admitted || !strings.Contains(seen.LastError, why) {
		t.Errorf("the forger sees %+v", seen)
	}
	if len(seen.Attributes) > 0 {
		t.Errorf("the refusal tells %+v", seen)
	}
}

// Without certificates a secret that all members share protects the peer port.
func TestASecretProtectsThePeerPort(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	secret := func(content string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right := secret("kuOqk1rU8mzqv0Z1H0dJb4x0cXQqG6mXw1b6dYkq5sE=\n")
	for i := range c.configs {
		c.configs[i].ClusterSecretFile = right
	}
	c.startAll()
	c.put("a", "1", 0)
	victim, spoken := c.servers[0], c.configs[1]
	known := recordOf(t, spoken)

	forge(t, spoken, victim, known, "the other side speaks TLS", func(*transport.Config) {})
	for why, known := range map[string]struct{ file, name string }{
		"unknown authority":        {secret("kuOqk1rU8mzqv0Z1H0dJb4x0cXQqG6mXw1b6dYkq5sF=\n"), "n2"},
		"does not name the member": {right, "n3"}, // who knows it speaks for itself
	} {
		source, err := certs.OpenSecret(peerSide, known.file, known.name, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		forge(t, spoken, victim, recordOf(t, spoken), why, func(cfg *transport.Config) {
			cfg.TLS = source.Dialer()
		})
	}
	for why, change := range map[string]func(*tls.Config){
		"certificate required": func(c *tls.Config) { c.GetClientCertificate = nil },
		"tls: ":                func(*tls.Config) {}, // who does not care whom it speaks to, with another secret
	} {
		source, err := certs.OpenSecret(peerSide, secret("another one, which is as long as it must be\n"), "n2", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		forge(t, spoken, victim, known, why, func(cfg *transport.Config) {
			cfg.TLS = source.Dialer()
			cfg.TLS.VerifyConnection = nil
			change(cfg.TLS)
		})
	}
	c.put("a", "2", 1)
	c.awaitSameState()
}

func TestAnOpenPeerPortIsWarnedOf(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:0": false, "0.0.0.0:0": true} {
		var log lockedLog
		c := newTestCluster(t, options{servers: 1})
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.configs[0].PeerListener.Close()
		c.configs[0].PeerListener = listener
		c.configs[0].Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.startAll()
		if got := strings.Contains(log.String(), "the peer port is not protected"); got != want {
			t.Errorf("%s: warned %t: %s", address, got, &log)
		}
	}
}

// A member whose certificate has expired is refused, both sides say why, and it takes part
// as soon as it has another one, without a restart.
func TestAnExpiredPeerIsRefusedUntilItIsRenewed(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, tls: true})
	expired := c.ca.Issue(certstest.Leaf{CN: "n2", NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	c.dirs[1].Put(c.dirs[1].Cert, expired.Cert)
	c.dirs[1].Put(c.dirs[1].Key, expired.Key)
	c.configs[1].ClientTLS = c.configs[0].ClientTLS // it is about peers
	logs := make([]lockedLog, 2)
	for i := range logs {
		c.configs[i].Logger = slog.New(slog.NewTextHandler(&logs[i], nil))
	}
	for i := range c.configs {
		c.start(i)
	}
	logs[0].await(t, "certificate has expired or is not yet valid")
	logs[1].await(t, "a TLS certificate has expired: others refuse it")
	logs[1].await(t, "tls: ") // what the others say
	pair := c.issue(c.ca, "n2")
	c.dirs[1].Put(c.dirs[1].Cert, pair.Cert)
	c.dirs[1].Put(c.dirs[1].Key, pair.Key)
	for _, s := range c.servers {
		awaitReady(t, s)
	}
	c.put("a", "1", 0)
	c.awaitSameState()
}
