package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"balsa.example/internal/check/ports"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

const (
	members = 3
	// startTimeout is how long a server may take until it is ready.
	startTimeout = time.Minute
	readyLine    = "ready to serve client requests"
)

// cluster is three servers, each with a proxy before it that records what clients ask.
type cluster struct {
	system  string
	dir     string
	servers []*server
	rec     *recorder
	guest   guest // nil, if none was asked for
	release []func()
}

// server is one process.
type server struct {
	name, endpoint, peer string
	args                 []string
	program              string
	log                  string
	cmd                  *exec.Cmd
	ended                chan error
	proxy                string           // endpoint of the recorder's proxy before it
	conn                 *grpc.ClientConn // the proxy's
}

// startCluster starts servers of a system, balsa or etcd. Both are told the same.
func startCluster(ctx context.Context, system, program, dir string) (c *cluster, err error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// A program takes etcd's flags if it is called etcd.
	link := filepath.Join(dir, "etcd")
	if program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	if err := os.Symlink(program, link); err != nil {
		return nil, err
	}
	c = &cluster{system: system, dir: dir, rec: newRecorder()}
	begun := c
	defer func() {
		if err != nil {
			begun.stop()
		}
	}()
	first, err := c.ports(2 * members)
	if err != nil {
		return nil, err
	}
	var list []string
	for i := range members {
		s := &server{
			name: fmt.Sprintf("m%d", i), program: link, log: filepath.Join(dir, fmt.Sprintf("m%d.log", i)),
			endpoint: loopback(first + 2*i), peer: loopback(first + 2*i + 1),
		}
		list = append(list, s.name+"=http://"+s.peer)
		c.servers = append(c.servers, s)
	}
	for _, s := range c.servers {
		s.args = s.argsOf(dir, list, "new")
		if err := s.start(); err != nil {
			return nil, err
		}
	}
	for _, s := range c.servers {
		if err := s.awaitReady(ctx); err != nil {
			return nil, err
		}
		if s.proxy, s.conn, err = c.rec.serve(s.endpoint); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// argsOf are the arguments of a server of a cluster of these members.
func (s *server) argsOf(dir string, members []string, state string) []string {
	return []string{
		"--name=" + s.name, "--data-dir=" + filepath.Join(dir, s.name),
		"--listen-client-urls=http://" + s.endpoint, "--advertise-client-urls=http://" + s.endpoint,
		"--listen-peer-urls=http://" + s.peer, "--initial-advertise-peer-urls=http://" + s.peer,
		"--initial-cluster=" + strings.Join(members, ","), "--initial-cluster-token=compat", "--initial-cluster-state=" + state,
		"--snapshot-count=10000", "--metrics=extensive", "--watch-progress-notify-interval=2s", "--max-txn-ops=128",
	}
}

// newServer is one that is to join the cluster. It is not started.
func (c *cluster) newServer(name string) (*server, error) {
	first, err := c.ports(2)
	if err != nil {
		return nil, err
	}
	s := &server{
		name: name, program: c.servers[0].program, log: filepath.Join(c.dir, name+".log"),
		endpoint: loopback(first), peer: loopback(first + 1),
	}
	var list []string
	for _, member := range append(slices.Clone(c.servers), s) {
		list = append(list, member.name+"=http://"+member.peer)
	}
	s.args = s.argsOf(c.dir, list, "existing")
	return s, nil
}

func (s *server) start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.cmd.Wait(); close(s.ended) }()
	return nil
}

func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		log, err := os.ReadFile(s.log)
		if err == nil && bytes.Contains(log, []byte(readyLine)) {
			return s.reconnect(ctx)
		}
		select {
		case <-tick.C:
		case err := <-s.ended:
			return fmt.Errorf("%s ended: %v: %s", s.name, err, log)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %s", s.name, log)
		}
	}
}

// reconnect waits until the proxy has a connection to the server again. It would try at intervals that
// grow, and in between tell clients that the connection was refused: no answer of the server's.
func (s *server) reconnect(ctx context.Context) error {
	if s.conn == nil {
		return nil
	}
	for {
		s.conn.ResetConnectBackoff()
		s.conn.Connect()
		state := s.conn.GetState()
		if state == connectivity.Ready {
			return nil
		}
		if !s.conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("no connection to %s: %w", s.name, ctx.Err())
		}
	}
}

// stop ends a server by a signal.
func (s *server) stop(signal syscall.Signal) {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.cmd.Process.Signal(signal)
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		s.cmd.Process.Kill()
		<-s.ended
	}
	s.cmd = nil
}

func (c *cluster) stop() {
	c.rec.stop()
	if c.guest != nil {
		c.guest.end()
	}
	for _, s := range c.servers {
		s.stop(syscall.SIGKILL)
	}
	for _, release := range c.release {
		release()
	}
}

// ports takes n ports in a row until the cluster stops, and returns the first.
func (c *cluster) ports(n int) (first int, err error) {
	first, release, err := ports.Row(n)
	if err == nil {
		c.release = append(c.release, release)
	}
	return first, err
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// endpoints are those of the proxies.
func (c *cluster) endpoints() (all []string) {
	for _, s := range c.servers {
		all = append(all, s.proxy)
	}
	return all
}
