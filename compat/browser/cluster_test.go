package browser

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"balsa.example/compat/rig"
)

// cluster is servers n1, n2, ... as processes.
type cluster struct {
	t       testing.TB
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
	c := &cluster{t: t, dir: t.TempDir(), flags: flags}
	var members []string
	for i := range n {
		s := &server{name: fmt.Sprintf("n%d", i+1), clients: rig.FreePort(t), peers: rig.FreePort(t)}
		c.servers = append(c.servers, s)
		members = append(members, s.name+"=http://"+s.peers)
	}
	c.members = strings.Join(members, ",")
	for _, s := range c.servers {
		c.run(s, "--initial-cluster", c.members)
	}
	c.ready()
	return c
}

// run starts the process of a server.
func (c *cluster) run(s *server, flags ...string) {
	c.t.Helper()
	s.cmd = rig.Start(c.t, append([]string{
		"serve", "--name", s.name, "--data-dir", filepath.Join(c.dir, s.name), "--log-level", "warn",
		"--listen-client-urls", "http://" + s.clients, "--listen-peer-urls", "http://" + s.peers,
	}, append(flags, c.flags...)...)...)
}

// kill ends a process as a loss of power would.
func (s *server) kill() {
	rig.Kill(s.cmd)
	s.cmd = nil
}

func (s *server) url() string { return "http://" + s.clients + "/ui/" }

// ready waits until all servers that run answer.
func (c *cluster) ready() {
	c.t.Helper()
	for _, s := range c.servers {
		if s.cmd != nil {
			rig.Ready(c.t, s.name, s.clients)
		}
	}
}

func (c *cluster) eventually(otherwise string, is func() bool) {
	c.t.Helper()
	rig.Eventually(c.t, otherwise, is)
}

// balsa runs a command, and returns what it prints.
func (c *cluster) balsa(args ...string) string {
	c.t.Helper()
	var endpoints []string
	for _, s := range c.servers {
		endpoints = append(endpoints, s.clients)
	}
	out, err := rig.Do(c.t, []string{"BALSA_ENDPOINTS=" + strings.Join(endpoints, ",")}, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
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
