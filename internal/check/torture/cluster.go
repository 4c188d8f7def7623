package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"balsa.example/clerk"
)

// member is one `balsa serve` process with its addresses and its directory.
type member struct {
	index        int
	name         string
	client, peer string // host:port that it listens on; others come through proxies
	// joins are the peer addresses of members of the running cluster that it is told; nil: it is one
	// of the first members, and is told --initial-cluster. learner: it is told to stay a learner.
	joins    []string
	learner  bool
	witness  bool   // it keeps no data, and clients are not told of it
	older    bool   // it runs cluster.older
	host     string // the name of its machine, in the network of --netns
	id       uint64 // as the cluster has told; 0: not known yet
	dir, log string
	disk     *disk // the member's own file system, which holds dir; nil if it has none
	process  *exec.Cmd
	reader   *logReader    // of its output
	exited   chan struct{} // closed when the process has ended
	paused   bool
	killed   bool // the rig has ended the process
}

// cluster is the processes under torture, and the network between them.
type cluster struct {
	binary   string
	older    string // the program of an older version; empty: there is none
	members  []*member
	former   []*member // that are members no more; their processes have ended, or are about to
	flags    []string
	wiring   // one of network, netns and loopback; the others are nil
	network  *network
	netns    *netns
	loopback *loopback
	checked  int // how many directories inOrder has looked at
}

// wiring connects the members and their clients.
type wiring interface {
	// listen returns the addresses on which m listens, and client the one that it advertises
	// to clients.
	listen(m *member) (client, peer string)
	client(m *member) string
	// seenBy is m's --initial-cluster.
	seenBy(m *member) string
	// endpoints are the addresses at which clients reach the members.
	endpoints() []string
	// command returns a command that runs on m's machine.
	command(m *member, name string, args ...string) *exec.Cmd
	// settle gives m, a new member or one that moves, addresses that no member ever had.
	settle(m *member) error
	close()
}

// newCluster prepares n members in dir, on free ports of the loopback interface; with a file
// system for each member, if disks is true.
func newCluster(binary, dir string, n int, flags []string, seed uint64, disks bool) (*cluster, error) {
	c := &cluster{binary: binary, flags: flags}
	ports := rand.New(rand.NewPCG(seed, uint64(os.Getpid())))
	taken := make(map[string]bool)
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		m := &member{index: i, name: name, dir: filepath.Join(dir, name), log: filepath.Join(dir, name+".log")}
		c.members = append(c.members, m)
		for _, address := range []*string{&m.client, &m.peer} {
			var err error
			if *address, err = freeAddress(ports, taken); err != nil {
				return c, err
			}
		}
		if disks {
			var err error
			if m.disk, err = newDisk(dir, name); err != nil {
				return c, err
			}
			m.dir = filepath.Join(m.disk.mount, "data")
		}
	}
	var err error
	c.network, err = newNetwork(c.members, seed)
	c.wiring = c.network
	return c, err
}

// newNetnsCluster prepares n members in dir, each in a network namespace of its own.
func newNetnsCluster(binary, dir string, n int, flags []string) (*cluster, error) {
	c := &cluster{binary: binary, flags: flags}
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		c.members = append(c.members, &member{index: i, name: name, dir: filepath.Join(dir, name), log: filepath.Join(dir, name+".log")})
	}
	var err error
	c.netns, err = newNetns(c.members)
	c.wiring = c.netns
	return c, err
}

// freeAddress finds a port that is not taken, and takes it. The port is below those that the
// kernel uses for outgoing connections: such a connection could take the port while its server
// is down.
func freeAddress(rng *rand.Rand, taken map[string]bool) (string, error) {
	var err error
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rng.IntN(20_000))
		if taken[address] {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			taken[address] = true
			return address, l.Close()
		}
	}
	return "", fmt.Errorf("find a free port: %w", err)
}

// direct returns the addresses at which the rig itself reaches the members, without proxies.
func (c *cluster) direct() (all []string) {
	for _, m := range c.members {
		if !m.witness {
			all = append(all, m.client)
		}
	}
	return all
}

// close ends processes, proxies and mounts. It returns an error for each that did not end as it
// should. The images of the disks are kept if keepDisks is true.
func (c *cluster) close(keepDisks bool) error {
	var errs []error
	for _, m := range append(slices.Clone(c.members), c.former...) {
		if m.paused {
			m.resume()
		}
		if !m.stop(10 * time.Second) {
			errs = append(errs, fmt.Errorf("%s did not stop when asked to", m.name))
		}
	}
	if c.wiring != nil {
		c.wiring.close()
	}
	for _, m := range c.members {
		switch {
		case m.disk == nil:
		case keepDisks:
			errs = append(errs, m.disk.detach())
		default:
			errs = append(errs, m.disk.remove())
		}
	}
	return errors.Join(errs...)
}

// start runs m's process; its output goes to m.log.
func (c *cluster) start(m *member) error {
	reader, err := newLogReader(m.log)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", m.name, err)
	}
	client, peer := c.listen(m)
	args := []string{
		"serve", "--name", m.name, "--data-dir", m.dir,
		"--listen-client-urls", "http://" + client, "--advertise-client-urls", "http://" + c.client(m),
		"--listen-peer-urls", "http://" + peer,
	}
	if m.joins == nil {
		args = append(args, "--initial-cluster", c.seenBy(m))
	} else {
		args = append(args, "--join", strings.Join(m.joins, ","), "--initial-advertise-peer-urls", "http://"+m.peer)
	}
	if m.learner {
		args = append(args, "--learner")
	}
	if m.witness {
		args = append(args, "--witness")
	}
	cmd := c.command(m, c.program(m), append(args, c.flags...)...)
	// A group of its own, so that Ctrl-C is for the rig, which then ends all in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = reader.w, reader.w
	if err := cmd.Start(); err != nil {
		reader.close()
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.process, m.reader, m.exited, m.killed = cmd, reader, make(chan struct{}), false
	go func(exited chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		reader.close()
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
	m.killed = true
	if m.running() {
		_ = m.process.Process.Kill()
		<-m.exited
	}
}

// stop asks m to end, and tells whether it did within the time given.
func (m *member) stop(within time.Duration) bool {
	if !m.running() {
		return true
	}
	m.killed = true
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

// leader asks all members until one of them leads. If two of them say that they lead, it is the
// one of the higher term.
func (c *cluster) leader(ctx context.Context, ck *clerk.Clerk) (*member, error) {
	for {
		var leader *member
		var term uint64
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		for i, s := range statuses(attempt, ck, c.members) {
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

// statuses asks all members for their status, all at once.
func statuses(ctx context.Context, ck *clerk.Clerk, members []*member) []clerk.ServerStatus {
	all := make([]clerk.ServerStatus, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		asked.Go(func() {
			all[i].Endpoint = m.client
			all[i].Status, all[i].Err = ck.Status(ctx, m.client)
		})
	}
	asked.Wait()
	return all
}

// but returns the members that are not among those given.
func (c *cluster) but(out ...*member) (rest []*member) {
	for _, m := range c.members {
		if !slices.Contains(out, m) {
			rest = append(rest, m)
		}
	}
	return rest
}

// stoppedByThemselves is an error for each member that has stopped by itself, with the last line
// of its log.
func (c *cluster) stoppedByThemselves() error {
	var errs []error
	for _, m := range c.members {
		if m.process != nil && !m.killed && !m.running() {
			errs = append(errs, fmt.Errorf("%s has stopped: %s", m.name, m.tail(1)))
		}
	}
	return errors.Join(errs...)
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

// mentions counts the lines with that text in all logs.
func (c *cluster) mentions(text string) (n int) {
	for _, m := range c.members {
		f, err := os.Open(m.log)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if strings.Contains(lines.Text(), text) {
				n++
			}
		}
		f.Close()
	}
	return n
}
