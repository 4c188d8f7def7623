package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/certs/certstest"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/check/ports"
)

// patience bounds every wait of these tests. It is never used up by one that passes.
const patience = 20 * time.Second

// options say what a testCluster is made of.
type options struct {
	servers int
	dir     string // where the data directories are; empty: in memory
	tls     bool   // mutual TLS on all ports, each member with a certificate of its own
	metrics bool
}

// testCluster is a cluster on loopback sockets.
type testCluster struct {
	t       *testing.T
	configs []Config
	servers []*Server // nil where stopped
	clerk   *clerk.Clerk

	endpoints []string // for clients
	metrics   []string // URLs, if options.metrics
	// With options.tls: the authority, and the files of each member.
	ca   *certstest.CA
	dirs []certstest.Dir
}

// newTestCluster prepares a cluster. Nothing runs yet.
func newTestCluster(t *testing.T, o options) *testCluster {
	t.Helper()
	c := &testCluster{t: t, servers: make([]*Server, o.servers)}
	scheme := "http"
	if o.tls {
		scheme, c.ca = "https", certstest.NewCA(t, "ca")
	}
	var members []string
	var clients, peers []net.Listener
	for i := range o.servers {
		clients, peers = append(clients, ports.Listen(t)), append(peers, ports.Listen(t))
		members = append(members, fmt.Sprintf("n%d=%s://%s", i+1, scheme, peers[i].Addr()))
		endpoint := clients[i].Addr().String()
		if o.tls {
			endpoint = "https://" + endpoint
		}
		c.endpoints = append(c.endpoints, endpoint)
	}
	cluster, err := ParseCluster("test", strings.Join(members, ","))
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range cluster.Members {
		cfg := Config{
			Name: m.Name, Cluster: cluster, DataDir: filepath.Join(o.dir, m.Name),
			ListenPeer: cluster.PeerURLs(m.Name), ListenClient: []*url.URL{{Scheme: scheme, Host: clients[i].Addr().String()}},
			PeerListener: peers[i], ClientListeners: clients[i : i+1],
			HeartbeatInterval: 25 * time.Millisecond, ElectionTimeout: 200 * time.Millisecond,
			Logger: testLogger(t), segmentSize: 64 << 10,
		}
		if o.dir == "" {
			cfg.FS = crashfs.NewMem()
		}
		if o.tls {
			d := certstest.Write(t, c.issue(c.ca, m.Name), c.ca.PEM)
			cfg.ClientTLS = TLS{CertFile: d.Cert, KeyFile: d.Key, CAFile: d.CA, ClientAuth: true}
			cfg.PeerTLS = cfg.ClientTLS
			c.dirs = append(c.dirs, d)
		}
		if o.metrics {
			l := ports.Listen(t)
			u := &url.URL{Scheme: "http", Host: l.Addr().String()}
			cfg.ListenMetrics, cfg.MetricsListeners = []*url.URL{u}, []net.Listener{l}
			c.metrics = append(c.metrics, u.String())
		}
		c.configs = append(c.configs, cfg)
	}
	c.clerk = c.firstClerk()
	t.Cleanup(c.close)
	return c
}

// firstClerk returns a Clerk that all servers let in.
func (c *testCluster) firstClerk() *clerk.Clerk {
	c.t.Helper()
	if c.ca != nil {
		return c.newClerk(c.ca.Issue(certstest.Leaf{CN: "client"}), c.ca.PEM)
	}
	ck, err := clerk.New(c.endpoints)
	if err != nil {
		c.t.Fatal(err)
	}
	return ck
}

// newClerk returns a Clerk with a certificate.
func (c *testCluster) newClerk(pair certstest.Pair, ca []byte) *clerk.Clerk {
	c.t.Helper()
	d := certstest.Write(c.t, pair, ca)
	conf, err := clerk.LoadTLS(d.CA, d.Cert, d.Key)
	if err != nil {
		c.t.Fatal(err)
	}
	ck, err := clerk.New(c.endpoints, clerk.WithTLS(conf))
	if err != nil {
		c.t.Fatal(err)
	}
	return ck
}

// issue makes a certificate for a member.
func (c *testCluster) issue(ca *certstest.CA, name string) certstest.Pair {
	return ca.Issue(certstest.Leaf{CN: name, Hosts: []string{"127.0.0.1"}})
}

// testLogger writes to the test's log: shown with -v, or when the test fails.
func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// start starts server i, which then listens where it did at first.
func (c *testCluster) start(i int) *Server {
	c.t.Helper()
	s, err := Start(c.configs[i])
	if err != nil {
		c.t.Fatal(err)
	}
	c.configs[i].PeerListener, c.configs[i].ClientListeners = nil, nil
	c.servers[i] = s
	return s
}

func (c *testCluster) startAll() {
	c.t.Helper()
	for i := range c.servers {
		c.start(i)
	}
	for _, s := range c.servers {
		awaitReady(c.t, s)
	}
}

func awaitReady(t *testing.T, s *Server) {
	t.Helper()
	select {
	case <-s.Ready():
	case <-s.Failed():
		t.Fatalf("%s failed: %v", s.cfg.Name, s.Err())
	case <-time.After(patience):
		t.Fatalf("%s is not ready", s.cfg.Name)
	}
}

func (c *testCluster) stop(i int) {
	c.servers[i].Shutdown(context.Background())
	c.servers[i] = nil
}

func (c *testCluster) stopAll() {
	var stopping sync.WaitGroup
	for i, s := range c.servers {
		if s != nil {
			stopping.Go(s.Abort)
			c.servers[i] = nil
		}
	}
	stopping.Wait()
}

func (c *testCluster) close() {
	c.clerk.Close()
	c.stopAll()
}

// leader waits until a server leads, and returns its number.
func (c *testCluster) leader() int {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for i, s := range c.servers {
			if s != nil && s.status().Role == api.Role_LEADER {
				return i
			}
		}
	}
	c.t.Fatal("nobody leads")
	return -1
}

func (c *testCluster) put(key, value string, version uint64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, err := c.clerk.Put(ctx, key, []byte(value), version)
	if errors.Is(err, clerk.ErrMaybe) { // on a slow machine; nobody else writes
		c.wants(key, value)
	} else if err != nil {
		c.t.Fatalf("put %s: %v", key, err)
	}
}

func (c *testCluster) wants(key, value string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	kv, err := c.clerk.Get(ctx, key)
	if err != nil || string(kv.Value) != value {
		c.t.Errorf("get %s: %q, %v; want %q", key, kv.Value, err, value)
	}
}

// awaitSameState waits until all servers have executed their logs and have the same hash at the same revision. After a
// restart they may all have the state of their last checkpoints until one leads.
func (c *testCluster) awaitSameState() {
	c.t.Helper()
	var seen []*api.StatusReply
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		seen = nil
		same := true
		for _, s := range c.servers {
			status := s.status()
			seen = append(seen, status)
			same = same && status.LeaderId != 0 && status.AppliedIndex == status.LastIndex && status.StateHash != 0 && status.StateHashIndex == seen[0].StateHashIndex &&
				status.StateHash == seen[0].StateHash && status.Revision == seen[0].Revision
		}
		if same {
			return
		}
	}
	c.t.Errorf("the servers differ: %v", seen)
}

// awaitPeer waits until what server i says of another is as wanted.
func (c *testCluster) awaitPeer(i, other int, wanted func(*api.Peer) bool) {
	c.t.Helper()
	var peers []*api.Peer
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		peers = c.servers[i].status().Peers
		for _, p := range peers {
			if p.Name == c.configs[other].Name && wanted(p) {
				return
			}
		}
	}
	c.t.Fatalf("%s says: %v", c.configs[i].Name, peers)
}

func memberList(c *Cluster) string {
	var parts []string
	for _, m := range c.Members {
		parts = append(parts, m.Name+"="+c.PeerURLs(m.Name)[0].String())
	}
	return strings.Join(parts, ",")
}
