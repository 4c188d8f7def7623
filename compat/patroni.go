package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patroni is two servers of PostgreSQL under Patroni, which finds the primary by a lease in the store.
// Patroni speaks the gateway's JSON.
type patroni struct {
	dir   string
	nodes []*patroniNode
}

// patroniPatience is how long a change of the primary may take: Patroni's lease, and what PostgreSQL does then.
const patroniPatience = 3 * time.Minute

type patroniNode struct {
	name, data, api string
	cmd             *exec.Cmd
	args            []string
	uid, gid        uint32
}

const patroniConfig = `scope: compat
name: %[1]s
restapi: {listen: "%[2]s", connect_address: "%[2]s"}
etcd3: {hosts: [%[3]s]}
bootstrap:
  dcs: {ttl: 20, loop_wait: 2, retry_timeout: 5, postgresql: {use_pg_rewind: true}}
  initdb: [{encoding: UTF8}, {auth: trust}]
postgresql:
  listen: "%[4]s"
  connect_address: "%[4]s"
  data_dir: %[5]s
  bin_dir: %[6]s
  authentication: {superuser: {username: postgres, password: p}, replication: {username: replicator, password: p}}
  parameters: {unix_socket_directories: %[7]s, max_connections: 20, shared_buffers: 16MB}
`

// startPatroni starts both as the user postgres: PostgreSQL refuses to run as root. Debian's packages
// are patroni, python3-etcd and postgresql.
func startPatroni(ctx context.Context, c *cluster, _ programs) (g guest, err error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		return nil, errors.New("no PostgreSQL in /usr/lib/postgresql")
	}
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(postgres.Uid)
	gid, _ := strconv.Atoi(postgres.Gid)
	p := &patroni{}
	if p.dir, err = os.MkdirTemp("", "patroni"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.end()
		}
	}()
	if err := os.Chown(p.dir, uid, gid); err != nil {
		return nil, err
	}
	first, err := c.ports(4)
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, s := range c.servers {
		hosts = append(hosts, strconv.Quote(s.endpoint))
	}
	for i := range 2 {
		n := &patroniNode{name: fmt.Sprintf("pg%d", i), api: loopback(first + 2*i), uid: uint32(uid), gid: uint32(gid)}
		n.data = filepath.Join(p.dir, n.name)
		config := filepath.Join(p.dir, n.name+".yml")
		text := fmt.Sprintf(patroniConfig, n.name, n.api, strings.Join(hosts, ", "), loopback(first+2*i+1), n.data, bins[len(bins)-1], p.dir)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			return nil, err
		}
		n.args = []string{"/usr/bin/patroni", config}
		p.nodes = append(p.nodes, n)
		if err := n.start(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (n *patroniNode) start() error {
	log, err := os.OpenFile(n.data+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd = exec.Command("/usr/bin/python3", n.args...)
	n.cmd.Dir, n.cmd.Stdout, n.cmd.Stderr = filepath.Dir(n.data), log, log
	n.cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(n.data), "LC_ALL=C")
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: n.uid, Gid: n.gid}}
	return n.cmd.Start()
}

// kill ends Patroni and its PostgreSQL at once.
func (n *patroniNode) kill() {
	if n.cmd != nil {
		n.cmd.Process.Kill()
		n.cmd.Wait()
		n.cmd = nil
	}
	pid, err := os.ReadFile(filepath.Join(n.data, "postmaster.pid"))
	if err != nil {
		return
	}
	line, _, _ := bytes.Cut(pid, []byte("\n"))
	if p, err := strconv.Atoi(string(line)); err == nil && p > 1 {
		syscall.Kill(p, syscall.SIGQUIT) // its children end as well
	}
}

func (p *patroni) end() {
	for _, n := range p.nodes {
		n.kill()
	}
	for begin := time.Now(); os.RemoveAll(p.dir) != nil && time.Since(begin) < patience; { // while PostgreSQL ends
		time.Sleep(100 * time.Millisecond)
	}
}

// patroniMember is one of /cluster.
type patroniMember struct {
	Name, Role, State string
	Timeline          int
}

// cluster is what a node that answers says of both.
func (p *patroni) cluster(ctx context.Context) (all []patroniMember) {
	for _, n := range p.nodes {
		var c struct{ Members []patroniMember }
		if err := n.ask(ctx, "GET", "/cluster", "", &c); err == nil {
			slices.SortFunc(c.Members, func(a, b patroniMember) int { return strings.Compare(a.Name, b.Name) })
			return c.Members
		}
	}
	return nil
}

func (n *patroniNode) ask(ctx context.Context, method, path, body string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.api+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("%s", resp.Status)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(data, answer)
}

// primary is the node that says so itself: nil if none does.
func (p *patroni) primary(ctx context.Context) *patroniNode {
	for _, n := range p.nodes {
		var s struct{ Role, State string }
		if n.ask(ctx, "GET", "/patroni", "", &s) == nil && (s.Role == "master" || s.Role == "primary") && s.State == "running" {
			return n
		}
	}
	return nil
}

// insist asks until the answer is a good one: a node that has just started knows less than it says.
func (t *T) insist(step string, ask func() error) {
	var err error
	for begin := time.Now(); time.Since(begin) < patience && t.ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
		if err = ask(); err == nil {
			break
		}
	}
	t.say(step, "%v", err)
}

// awaitNodes waits until there is a primary other than a name, and as many that follow it.
func (t *T) awaitNodes(step, not string, followers int) (primary *patroniNode) {
	p := t.cluster.guest.(*patroni)
	for begin := time.Now(); time.Since(begin) < patroniPatience && t.ctx.Err() == nil; time.Sleep(250 * time.Millisecond) {
		follow := 0
		for _, m := range p.cluster(t.ctx) {
			if m.Role == "replica" && (m.State == "running" || m.State == "streaming") {
				follow++
			}
		}
		if n := p.primary(t.ctx); n != nil && n.name != not && follow == followers {
			t.say(step, "a primary with %d that follow", follow)
			return n
		}
	}
	t.say(step, "not in time: %+v", p.cluster(t.ctx))
	panic(errStop)
}

var patroniChecks = []check{
	{name: "patroni/start", loose: true, run: func(t *T) {
		t.awaitNodes("started", "", 1)
		t.insist("the leader's key, with a lease", func() error {
			resp, err := t.client.Get(t.ctx, "/service/compat/leader")
			if err == nil && (resp.Count != 1 || resp.Kvs[0].Lease == 0) {
				err = fmt.Errorf("%v", resp.Kvs)
			}
			return err
		})
	}},
	{name: "patroni/settings", loose: true, run: func(t *T) {
		p := t.cluster.guest.(*patroni)
		t.insist("change", func() error {
			return p.nodes[0].ask(t.ctx, "PATCH", "/config", `{"maximum_lag_on_failover":1234567}`, nil)
		})
		var c struct {
			Lag int `json:"maximum_lag_on_failover"`
		}
		t.insist("read at the other", func() error { return p.nodes[1].ask(t.ctx, "GET", "/config", "", &c) })
		t.say("lag", "%d", c.Lag)
	}},
	{name: "patroni/switchover", loose: true, run: func(t *T) {
		was := t.awaitNodes("before", "", 1)
		t.insist("ask", func() error {
			return was.ask(t.ctx, "POST", "/switchover", fmt.Sprintf(`{"leader":%q}`, was.name), nil)
		})
		t.awaitNodes("after", was.name, 1)
	}},
	{name: "patroni/store-leader-killed", loose: true, run: func(t *T) {
		was := t.awaitNodes("before", "", 1)
		p := t.cluster.guest.(*patroni)
		timeline := p.cluster(t.ctx)[0].Timeline
		for range 2 {
			leads, _ := t.leader()
			t.restart(leads, 4*time.Second)
			time.Sleep(4 * time.Second)
		}
		now := t.awaitNodes("after", "", 1)
		t.say("the same primary", "%t, the same timeline %t", now == was, p.cluster(t.ctx)[0].Timeline == timeline)
	}},
	{name: "patroni/primary-killed", loose: true, run: func(t *T) {
		was := t.awaitNodes("before", "", 1)
		was.kill()
		t.awaitNodes("another", was.name, 0)
		t.fail("start", was.start())
		t.awaitNodes("both", was.name, 1)
	}},
	{name: "patroni/store-stops", loose: true, run: func(t *T) {
		t.awaitNodes("before", "", 1)
		p := t.cluster.guest.(*patroni)
		for _, s := range t.cluster.servers {
			s.stop(syscall.SIGKILL)
		}
		gone := false
		for begin := time.Now(); time.Since(begin) < patroniPatience && !gone; time.Sleep(500 * time.Millisecond) {
			gone = p.primary(t.ctx) == nil
		}
		t.say("without the store nobody stays primary", "%t", gone)
		for _, s := range t.cluster.servers {
			t.fail("start", s.start())
		}
		for _, s := range t.cluster.servers {
			t.fail("ready", s.awaitReady(t.ctx))
		}
		t.awaitNodes("after", "", 1)
	}},
}
