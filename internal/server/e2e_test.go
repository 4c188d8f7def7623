package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/api"
	"balsa/clerk"
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
			ListenPeer: m.PeerURL, ListenClient: []*url.URL{{Scheme: "http", Host: endpoints[i]}},
			PeerListener: peers[i], ClientListeners: clients[i : i+1],
			HeartbeatInterval: 25 * time.Millisecond, ElectionTimeout: 200 * time.Millisecond,
			Logger: testLogger(t),
		}
		if dir == "" {
			cfg.FS = vfs.NewMem()
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

func TestThreeServersKeepTheirDataAcrossRestarts(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, t.TempDir())
	c.startAll()
	c.put("a", "1", 0)
	c.put("a", "2", 1)
	for range 2 {
		c.stopAll()
		c.startAll()
		c.wants("a", "2")
	}
	c.put("a", "3", 2)
	c.wants("a", "3")
}

func TestServiceGoesOnWithoutOneServer(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
	c.startAll()
	c.put("a", "1", 0)
	leader := c.leader()
	c.stop(leader)
	c.wants("a", "1")
	c.put("a", "2", 1)

	c.start(leader)
	awaitReady(t, c.servers[leader])
	c.awaitSameState()
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

func TestLeaderThatStopsHandsOver(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
	c.startAll()
	c.put("a", "1", 0)
	old := c.servers[c.leader()]
	old.handOver(t.Context())
	if s := old.status(); s.Role == api.Role_LEADER || s.LeaderId == 0 || s.LeaderId == s.NodeId {
		t.Errorf("after the handover: %v", s)
	}
}

func TestNewServerWaitsForAMajorityOfTheOthers(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
	n1 := c.start(0)
	c.start(1)
	// n1 and n2 would be a majority, but n3 could not tell later if one of them came
	// back empty.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		status, err := c.clerk.Status(ctx, c.configs[0].ListenClient[0].Host)
		if err != nil {
			t.Fatal(err)
		}
		if status.Peers[0].Connected {
			break
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case <-n1.Ready():
		t.Fatal("n1 takes part without n3")
	case <-time.After(50 * time.Millisecond): // this can only miss a fault, not make one up
	}
	n1.front.Handle(&api.Request{Kind: api.Request_PUT, Key: []byte("a")}, func(r *api.Reply) {
		if r.Code != api.Reply_UNAVAILABLE || !strings.Contains(r.Message, "waiting to be recorded by n3") {
			t.Errorf("a put meanwhile: %v", r)
		}
	})
	c.start(2)
	for _, s := range c.servers {
		awaitReady(t, s)
	}
	c.put("a", "1", 0)
}

func TestServerWithEmptiedDirectoryIsRefused(t *testing.T) {
	for _, allRestart := range []bool{false, true} {
		t.Run(fmt.Sprintf("all restart %t", allRestart), func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t, 3, "")
			c.startAll()
			c.put("a", "1", 0)
			if allRestart {
				c.stopAll()
				c.start(0)
				c.start(1)
			} else {
				c.stop(2)
			}
			c.configs[2].FS = vfs.NewMem()
			n3 := c.start(2)
			select {
			case <-n3.Failed():
			case <-n3.Ready():
				t.Fatal("n3 takes part with an empty directory")
			case <-time.After(patience):
				t.Fatal("n3 waits for ever")
			}
			if err := n3.Err(); !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), ErrIncarnation.Error()) {
				t.Errorf("n3 failed with %v", err)
			}
			c.wants("a", "1")
		})
	}
}

func TestServersOfDifferentClustersDoNotMix(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
	other, err := ParseCluster("another token", memberList(c.configs[0].Cluster))
	if err != nil {
		t.Fatal(err)
	}
	c.configs[2].Cluster = other
	c.start(0)
	n3 := c.start(2)
	select {
	case <-n3.Failed():
	case <-time.After(patience):
		t.Fatal("n3 waits for ever")
	}
	if err := n3.Err(); !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), "cluster") {
		t.Errorf("n3 failed with %v", err)
	}
}

func memberList(c *Cluster) string {
	var parts []string
	for _, m := range c.Members {
		parts = append(parts, m.Name+"="+m.PeerURL.String())
	}
	return strings.Join(parts, ",")
}

func TestStartRefusesADirectoryThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newTestCluster(t, 1, dir)
	c.startAll()
	c.put("a", "1", 0)
	home := c.configs[0].DataDir

	second := newTestCluster(t, 1, dir).configs[0]
	if _, err := Start(second); !errors.Is(err, ErrInUse) {
		t.Errorf("a second process on the directory: %v", err)
	}
	c.stopAll()
	before := listing(t, home)

	cluster := c.configs[0].Cluster
	otherName, err := ParseCluster("test", strings.Replace(memberList(cluster), "n1", "n2", 1))
	if err != nil {
		t.Fatal(err)
	}
	otherToken, err := ParseCluster("another", memberList(cluster))
	if err != nil {
		t.Fatal(err)
	}
	strange := t.TempDir()
	if err := os.WriteFile(filepath.Join(strange, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   error
	}{
		{"another name", func(c *Config) { c.Name, c.Cluster = "n2", otherName }, ErrForeign},
		{"another cluster", func(c *Config) { c.Cluster = otherToken }, ErrForeign},
		{"a directory of something else", func(c *Config) { c.DataDir = strange }, ErrForeign},
		{"joining with an empty directory", func(c *Config) { c.Join, c.DataDir = true, filepath.Join(dir, "new") }, ErrConfig},
		{"a name outside of the cluster", func(c *Config) { c.Name = "n9" }, ErrConfig},
	} {
		cfg := c.configs[0]
		test.change(&cfg)
		if _, err := Start(cfg); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	if after := listing(t, home); after != before {
		t.Errorf("the directory changed:\n%s\nbecame\n%s", before, after)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a refused start has made a directory")
	}
}

// listing describes all files under dir, with their times and sizes.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStartRefusesADamagedLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newTestCluster(t, 1, dir)
	c.startAll()
	c.put("a", "1", 0)
	c.put("b", "2", 0)
	c.stopAll()

	damaged := flipBit(t, filepath.Join(dir, "n1", "wal"))
	_, err := Start(c.configs[0])
	if err == nil || !strings.Contains(err.Error(), damaged) || !strings.Contains(err.Error(), "offset") {
		t.Errorf("got %v, want the file %s and an offset", err, damaged)
	}

	if err := os.RemoveAll(filepath.Join(dir, "n1", "wal")); err != nil {
		t.Fatal(err)
	}
	if _, err = Start(c.configs[0]); !errors.Is(err, ErrDamaged) {
		t.Errorf("without its log: %v", err)
	}
}

// flipBit damages the first record of a log, which is not its last: no crash can have
// torn it.
func flipBit(t *testing.T, dir string) (path string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	data[100] ^= 1
	if err := os.WriteFile(paths[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	return paths[0]
}

func TestStartTellsThatAPortIsInUse(t *testing.T) {
	dir := t.TempDir()
	for _, side := range []string{"peers", "clients"} {
		c := newTestCluster(t, 1, dir)
		cfg := c.configs[0]
		if side == "peers" {
			cfg.PeerListener = nil // while the test's own still listens there
		} else {
			cfg.ClientListeners = nil
		}
		_, err := Start(cfg)
		if err == nil || !strings.Contains(err.Error(), "listen for "+side) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: got %v", side, err)
		}
		if _, err := os.Stat(cfg.DataDir); err == nil {
			t.Errorf("%s: the data directory was made", side)
		}
	}
}

func TestShutdownLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	c := newTestCluster(t, 3, "")
	c.startAll()
	c.put("a", "1", 0)
	for i := range c.servers {
		c.stop(i) // the last ones without a majority
	}
	c.clerk.Close()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(time.Millisecond) // gRPC's own end a moment later
	}
}
