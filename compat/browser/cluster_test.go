package browser

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	dir, err := os.MkdirTemp("", "balsa-browser-")
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

// cluster is servers n1, n2, ... as processes.
type cluster struct {
	t       testing.TB
	program string
	dir     string
	flags   []string
	members string
	servers []*server
}

type server struct {
	name           string
	clients, peers string // addresses
	cmd            *exec.Cmd
}

// start starts a cluster with flags of its servers, and waits until it answers.
func start(t testing.TB, n int, flags ...string) *cluster {
	t.Helper()
	program, err := balsa()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, program: program, dir: t.TempDir(), flags: flags}
	var members []string
	for i := range n {
		s := &server{name: fmt.Sprintf("n%d", i+1), clients: freePort(t), peers: freePort(t)}
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
		c.run(s, "--initial-cluster", c.members)
	}
	c.ready()
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

// run starts the process of a server.
func (c *cluster) run(s *server, flags ...string) {
	c.t.Helper()
	s.cmd = exec.Command(c.program, append([]string{
		"serve", "--name", s.name, "--data-dir", filepath.Join(c.dir, s.name), "--log-level", "warn",
		"--listen-client-urls", "http://" + s.clients, "--listen-peer-urls", "http://" + s.peers,
	}, append(flags, c.flags...)...)...)
	s.cmd.Stderr = os.Stderr
	if testing.Short() || !testing.Verbose() {
		s.cmd.Stderr = nil
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

func (s *server) url() string { return "http://" + s.clients + "/ui/" }

// ready waits until all servers that run answer.
func (c *cluster) ready() {
	c.t.Helper()
	for _, s := range c.servers {
		c.eventually(s.name+" is not ready", func() bool {
			if s.cmd == nil {
				return true
			}
			r, err := http.Get("http://" + s.clients + "/readyz")
			if err != nil {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
			return r.StatusCode == http.StatusOK
		})
	}
}

func (c *cluster) eventually(otherwise string, is func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatal(otherwise)
		}
	}
}

// balsa runs a command, and returns what it prints.
func (c *cluster) balsa(args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, args...)
	var endpoints []string
	for _, s := range c.servers {
		endpoints = append(endpoints, s.clients)
	}
	cmd.Env = append(os.Environ(), "BALSA_ENDPOINTS="+strings.Join(endpoints, ","))
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("balsa %s: %v: %s", strings.Join(args, " "), err, bad.String())
	}
	return strings.TrimSpace(out.String())
}

// leader is the server that leads.
func (c *cluster) leader() *server {
	c.t.Helper()
	var found *server
	c.eventually("nobody leads", func() bool {
		for line := range strings.Lines(c.balsa("status")) {
			fields := strings.Fields(line)
			for _, s := range c.servers {
				if len(fields) > 1 && fields[0] == s.name && strings.Contains(line, "leader") {
					found = s
				}
			}
		}
		return found != nil
	})
	return found
}

// other is a server that runs, and is not this one.
func (c *cluster) other(than *server) *server {
	for _, s := range c.servers {
		if s != than && s.cmd != nil {
			return s
		}
	}
	c.t.Fatal("no other server runs")
	return nil
}
