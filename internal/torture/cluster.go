package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"balsa/clerk"
)

// member is one `balsa serve` process, and where it lives.
type member struct {
	name           string
	client, peer   string // host:port
	dir, log       string
	process        *exec.Cmd
	exited         chan struct{} // closed when the process has ended
	paused         bool
	starts, deaths int
}

// cluster is the processes under torture.
type cluster struct {
	binary  string
	members []*member
	flags   []string
}

// newCluster lays out n members in dir, on free ports of the loopback interface.
func newCluster(binary, dir string, n int, flags []string) (*cluster, error) {
	c := &cluster{binary: binary, flags: flags}
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		m := &member{name: name, dir: filepath.Join(dir, name), log: filepath.Join(dir, name+".log")}
		for _, address := range []*string{&m.client, &m.peer} {
			var err error
			if *address, err = freeAddress(); err != nil {
				return nil, err
			}
		}
		c.members = append(c.members, m)
	}
	return c, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (c *cluster) endpoints() (all []string) {
	for _, m := range c.members {
		all = append(all, m.client)
	}
	return all
}

func (c *cluster) initialCluster() string {
	var parts []string
	for _, m := range c.members {
		parts = append(parts, m.name+"=http://"+m.peer)
	}
	return strings.Join(parts, ",")
}

// start runs m's process; its output goes to m.log.
func (c *cluster) start(m *member) error {
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", m.name, err)
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(c.binary, append([]string{
		"serve", "--name", m.name, "--data-dir", m.dir,
		"--listen-client-urls", "http://" + m.client, "--advertise-client-urls", "http://" + m.client,
		"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.peer,
		"--initial-cluster", c.initialCluster(),
	}, c.flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.process, m.exited, m.starts = cmd, make(chan struct{}), m.starts+1
	go func(exited chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log, and in what it does not answer
		close(exited)
	}(m.exited)
	return nil
}

func (m *member) running() bool {
	if m.process == nil {
		return false
	}
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

// kill ends m as kill -9 does, and waits until it is gone.
func (m *member) kill() {
	if m.running() {
		_ = m.process.Process.Kill()
		<-m.exited
		m.deaths++
	}
}

// stop asks m to end, and tells whether it did within the time given.
func (m *member) stop(within time.Duration) bool {
	if !m.running() {
		return true
	}
	_ = m.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.exited:
		return true
	case <-time.After(within):
		m.kill()
		return false
	}
}

func (m *member) pause()  { _ = m.process.Process.Signal(syscall.SIGSTOP); m.paused = true }
func (m *member) resume() { _ = m.process.Process.Signal(syscall.SIGCONT); m.paused = false }

// leader asks all members until one of them leads; of two that think so, the one of
// the later term does.
func (c *cluster) leader(ctx context.Context, ck *clerk.Clerk) (*member, error) {
	for {
		var leader *member
		var term uint64
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		for i, s := range ck.StatusAll(attempt)[:len(c.members)] {
			if s.Err == nil && s.Status.NodeId == s.Status.LeaderId && s.Status.Term > term {
				leader, term = c.members[i], s.Status.Term
			}
		}
		cancel()
		if leader != nil && leader.running() {
			return leader, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("find the leader: %w", ctx.Err())
		}
	}
}

// tail returns the last lines of m's log.
func (m *member) tail(lines int) string {
	f, err := os.Open(m.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	all, _ := io.ReadAll(f)
	parts := strings.Split(strings.TrimRight(string(all), "\n"), "\n")
	return strings.Join(parts[max(0, len(parts)-lines):], "\n")
}
