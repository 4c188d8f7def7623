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
	"balsa.example/internal/check/crashfs"
)

// patience bounds every wait of these tests. It is never used up by one that passes.
const patience = 20 * time.Second

// testCluster is a cluster on loopback sockets.
type testCluster struct {
	t       *testing.T
	configs []Config
	servers []*Server // nil where stopped
	clerk   *clerk.Clerk
}

// newTestCluster prepares a cluster of n, with its data in files if dir is not empty,
// else in memory. Nothing runs yet.
func newTestCluster(t *testing.T, n int, dir string) *testCluster {
	c := &testCluster{t: t, servers: make([]*Server, n)}
	var members, endpoints []string
	var clients, peers []net.Listener
	for i := range n {
		clients, peers = append(clients, listenAny(t)), append(peers, listenAny(t))
		members = append(members, fmt.Sprintf("n%d=http://%s", i+1, peers[i].Addr()))
		endpoints = append(endpoints, clients[i].Addr().String())
	}
	cluster, err := ParseCluster("test", strings.Join(members, ","))
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range cluster.Members {
		cfg := Config{
			Name: m.Name, Cluster: cluster, DataDir: filepath.Join(dir, m.Name),
			ListenPeer: cluster.PeerURL(m.Name), ListenClient: []*url.URL{{Scheme: "http", Host: endpoints[i]}},
			PeerListener: peers[i], ClientListeners: clients[i : i+1],
			HeartbeatInterval: 25 * time.Millisecond, ElectionTimeout: 200 * time.Millisecond,
			Logger: testLogger(t), segmentSize: 1 << 20,
		}
		if dir == "" {
			cfg.FS = crashfs.NewMem()
		}
		c.configs = append(c.configs, cfg)
	}
	if c.clerk, err = clerk.New(endpoints); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func listenAny(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
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
		t.Fatalf("%s failed: %v", s.self.Name, s.Err())
	case <-time.After(patience):
		t.Fatalf("%s is not ready", s.self.Name)
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

// awaitSameState waits until all servers have the same hash at the same revision.
func (c *testCluster) awaitSameState() {
	c.t.Helper()
	var seen []*api.StatusReply
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		seen = nil
		same := true
		for _, s := range c.servers {
			status := s.status()
			seen = append(seen, status)
			same = same && status.StateHash != 0 && status.StateHashIndex == seen[0].StateHashIndex &&
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
		parts = append(parts, m.Name+"="+c.PeerURL(m.Name).String())
	}
	return strings.Join(parts, ",")
}
