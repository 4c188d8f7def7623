package balsa

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/internal/check/ports"
	"balsa.example/member"
	"balsa.example/rsm"
)

// counter adds, and returns the sum.
type counter struct {
	mu  sync.Mutex // Read and DoOp
	sum int
}

func (c *counter) DoOp(add int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum += add
	return c.sum
}

func (c *counter) Snapshot() (io.WriterTo, error) {
	image, err := json.Marshal(c.sum)
	return bytes.NewBuffer(image), err
}

func (c *counter) Restore(r io.Reader) error { return json.NewDecoder(r).Decode(&c.sum) }

func (c *counter) value() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

// trio is a cluster of three counters.
type trio struct {
	t        *testing.T
	dir      string
	configs  map[string]Config[int, int]
	machines map[string]*counter
	nodes    map[string]*Node[int, int]
}

func newTrio(t *testing.T, change func(*Config[int, int])) *trio {
	c := &trio{t: t, dir: t.TempDir(), configs: map[string]Config[int, int]{}, machines: map[string]*counter{}, nodes: map[string]*Node[int, int]{}}
	members, listeners := map[string]string{}, map[string]net.Listener{}
	for _, name := range []string{"n1", "n2", "n3"} {
		l := ports.Listen(t)
		members[name], listeners[name] = l.Addr().String(), l
	}
	for name := range members {
		cfg := Config[int, int]{
			Name: name, Members: members, Dir: filepath.Join(c.dir, name), Codec: JSON[int]{},
			HeartbeatInterval: 25 * time.Millisecond, ElectionTimeout: 250 * time.Millisecond, listener: listeners[name],
			stopTimeout: patience,
		}
		if change != nil {
			change(&cfg)
		}
		c.configs[name] = cfg
	}
	t.Cleanup(func() {
		for name := range c.nodes {
			c.stop(name)
		}
	})
	for name := range members {
		c.start(name)
	}
	return c
}

func (c *trio) start(name string) *Node[int, int] {
	c.t.Helper()
	cfg := c.configs[name]
	c.machines[name] = &counter{}
	cfg.Machine = c.machines[name]
	n, err := Start(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.listener, cfg.Machine = nil, nil // from now on by its address
	c.configs[name], c.nodes[name] = cfg, n
	return n
}

func (c *trio) stop(name string) {
	c.t.Helper()
	n := c.nodes[name]
	delete(c.nodes, name)
	if err := n.Stop(); err != nil {
		c.t.Errorf("%s: %v", name, err)
	}
}

func (c *trio) add(name string, n, want int) {
	c.t.Helper()
	if sum, err := c.nodes[name].Submit(c.t.Context(), n); err != nil || sum != want {
		c.t.Fatalf("%s: %d, %v, want %d", name, sum, err, want)
	}
}

func (c *trio) read(name string, want int) {
	c.t.Helper()
	if err := c.nodes[name].Read(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	if got := c.machines[name].value(); got != want {
		c.t.Fatalf("%s reads %d, want %d", name, got, want)
	}
}

func TestAnyMemberTakesOperations(t *testing.T) {
	c := newTrio(t, nil)
	c.add("n1", 1, 1)
	c.add("n2", 2, 3)
	c.add("n3", 3, 6)
	for name := range c.nodes {
		c.read(name, 6)
		s := c.nodes[name].Status()
		if s.Name != name || s.Leader == "" || s.ClusterID == 0 || s.Waiting != "" || len(s.Peers) != 2 {
			t.Errorf("status of %s: %+v", name, s)
		}
	}
}

func TestTheOthersGoOnAndAMemberComesBack(t *testing.T) {
	c := newTrio(t, nil)
	c.add("n1", 1, 1)
	leader := c.nodes["n1"].Status().Leader
	c.stop(leader)
	sum := 1
	for name := range c.nodes {
		sum++
		c.add(name, 1, sum)
	}
	c.start(leader)
	<-c.nodes[leader].Ready()
	c.add(leader, 1, sum+1)
	c.read(leader, sum+1)
}

// A member whose directory was emptied has forgotten what it promised: the others do not
// admit it, and it says so.
func TestAnEmptiedDirectoryIsNotAdmitted(t *testing.T) {
	c := newTrio(t, nil)
	c.add("n1", 1, 1)
	c.stop("n2")
	if err := os.RemoveAll(c.configs["n2"].Dir); err != nil {
		t.Fatal(err)
	}
	n := c.start("n2")
	<-n.Failed()
	if err := n.Err(); !errors.Is(err, member.ErrNotAdmitted) || !strings.Contains(err.Error(), "n2") {
		t.Errorf("failed with %v", err)
	}
	if _, err := n.Submit(t.Context(), 1); !errors.Is(err, member.ErrNotAdmitted) {
		t.Errorf("Submit: %v", err)
	}
	c.add("n1", 1, 2)
}

func TestASecretIsTLS(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("kuOqk1rU8mzqv0Z1H0dJb4x0cXQqG6mXw1b6dYkq5sE=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newTrio(t, func(cfg *Config[int, int]) { cfg.SecretFile = secret })
	c.add("n1", 1, 1)
	if _, ok := c.nodes["n1"].member.Certificates(); !ok {
		t.Error("no TLS")
	}
}

func TestLeadershipIsTransferred(t *testing.T) {
	c := newTrio(t, nil)
	c.add("n1", 1, 1)
	leader := c.nodes["n1"].Status().Leader
	to := map[string]string{"n1": "n2", "n2": "n3", "n3": "n1"}[leader]
	c.read(to, 1) // so it is caught up
	if err := c.nodes[leader].TransferLeadership(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	for _, known := range []string{leader, ""} {
		if now, err := c.nodes[leader].AwaitLeaderChange(t.Context(), known); err != nil || now == known {
			t.Errorf("after %q: %q, %v", known, now, err)
		}
	}
	if _, err := c.nodes[to].AwaitLeaderChange(t.Context(), "n4"); err == nil {
		t.Error("a stranger is taken for the leader")
	}
	c.add(leader, 1, 2)
	if got := c.nodes[to].Status().Leader; got != to {
		t.Errorf("%s leads, not %s", got, to)
	}
	if err := c.nodes[to].TransferLeadership(t.Context(), "n4"); err == nil {
		t.Error("handed over to a stranger")
	}
}

func TestStopEndsWhatWaits(t *testing.T) {
	cfg := newTrio(t, nil).configs["n1"]
	cfg.Dir, cfg.Machine = filepath.Join(t.TempDir(), "alone"), &counter{}
	cfg.Members = map[string]string{"n1": "127.0.0.1:1", "n2": "127.0.0.1:2"} // of whom n2 never comes
	var err error
	if cfg.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	n, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Submit(ctx, 1); !errors.Is(err, context.Canceled) || !errors.Is(err, rsm.ErrWrongLeader) {
		t.Errorf("a context that ended before anything was asked: %v", err)
	}
	ended := make(chan error)
	go func() {
		_, err := n.Submit(t.Context(), 1)
		ended <- err
	}()
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, rsm.ErrStopped) {
		t.Errorf("Submit: %v", err)
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	if n.Status().Waiting == "" {
		t.Error("nothing says what it waited for")
	}
}

func TestStartRefusesABadConfig(t *testing.T) {
	good := Config[int, int]{Name: "n1", Members: map[string]string{"n1": "127.0.0.1:1"}, Machine: &counter{}, Codec: JSON[int]{}}
	for name, change := range map[string]func(*Config[int, int]){
		"no directory":       func(c *Config[int, int]) { c.Dir = "" },
		"no name":            func(c *Config[int, int]) { c.Name = "" },
		"a name of nobody's": func(c *Config[int, int]) { c.Name = "n2" },
		"no members":         func(c *Config[int, int]) { c.Members = nil },
		"no machine":         func(c *Config[int, int]) { c.Machine = nil },
		"no codec":           func(c *Config[int, int]) { c.Codec = nil },
		"a negative size":    func(c *Config[int, int]) { c.MaxRaftState = -2 },
		"a short timeout":    func(c *Config[int, int]) { c.ElectionTimeout = time.Microsecond },
		"half of TLS":        func(c *Config[int, int]) { c.TLS.CertFile = "c" },
		"no secret":          func(c *Config[int, int]) { c.SecretFile = "nowhere" },
		"a secret and a cert": func(c *Config[int, int]) {
			c.SecretFile, c.TLS = "s", member.TLS{CertFile: "c", KeyFile: "k", CAFile: "a"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			cfg.Dir = filepath.Join(t.TempDir(), "d")
			change(&cfg)
			n, err := Start(cfg)
			if err == nil {
				n.Stop()
			}
			if !errors.Is(err, member.ErrConfig) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(cfg.Dir); cfg.Dir != "" && err == nil {
				t.Error("the directory was made")
			}
		})
	}
}
