// Package service runs key/value services as their users do: server processes on
// loopback, and clients in this process.
package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"balsa.example/bench/loopback"
	"balsa.example/bench/usage"
)

const (
	readyTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// member is one server, which may run, have ended, and run again.
type member struct {
	name, dir    string
	client, peer string // host:port
	metrics      string // the same; used by balsa alone, if at all
	group        string // the file cgroup.procs of its control group; empty: that of this process

	mu sync.Mutex // held to replace the process, whose processor time may be asked for meanwhile
	running
}

// running is a process of a member, the last one.
type running struct {
	process *exec.Cmd
	exited  chan struct{}
	spent   time.Duration // processor time of the processes before
}

// processes is the servers of a cluster.
type processes struct{ members []*member }

// launch starts the program once in each of groups, with the arguments that args gives for each
// member. Their output goes to files in dir.
func launch(program, dir string, groups []string, args func(m *member, all []*member) []string) (*processes, error) {
	p := &processes{}
	at, err := loopback.Free(3 * len(groups))
	if err != nil {
		return nil, err
	}
	for i, group := range groups {
		name := fmt.Sprintf("n%d", i+1)
		p.members = append(p.members, &member{
			name: name, dir: filepath.Join(dir, name), client: at[3*i], peer: at[3*i+1], metrics: at[3*i+2], group: group,
		})
	}
	for _, m := range p.members {
		if err := m.start(program, args(m, p.members)); err != nil {
			return nil, errors.Join(err, p.stop())
		}
	}
	return p, nil
}

// start runs the member's program, which must not run already.
func (m *member) start(program string, args []string) error {
	log, err := os.OpenFile(m.dir+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", m.name, err)
	}
	defer log.Close() // the process has its own descriptor
	cmd := m.command(program, args)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := m.process; last != nil {
		m.spent += last.ProcessState.UserTime() + last.ProcessState.SystemTime()
	}
	m.process, m.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(exited)
	}(m.exited)
	return nil
}

// command is that of the member's process. A shell enters the group and becomes the program, so that all
// memory of the process counts there.
func (m *member) command(program string, args []string) *exec.Cmd {
	if m.group == "" {
		return exec.Command(program, args...)
	}
	const enter = `echo $$ >"$0" && exec "$@"`
	return exec.Command("/bin/sh", slices.Concat([]string{"-c", enter, m.group, program}, args)...)
}

// signal sends one to the member's process. It is no error if that has ended.
func (m *member) signal(s os.Signal) error {
	if err := m.process.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", m.name, err)
	}
	return nil
}

// runs says whether the member's process has not ended.
func (m *member) runs() bool {
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

// used returns the processor time of all processes of the member, also those that have ended.
func (m *member) used() (time.Duration, error) {
	m.mu.Lock()
	r := m.running
	m.mu.Unlock()
	now, err := usage.Of(r.process.Process.Pid)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
		<-r.exited // at once: it has ended, and was waited for
		now = r.process.ProcessState.UserTime() + r.process.ProcessState.SystemTime()
	case err != nil:
		return 0, fmt.Errorf("processor time of %s: %w", m.name, err)
	}
	return r.spent + now, nil
}

// endpoints are the client addresses of the servers.
func (p *processes) endpoints() (all []string) {
	for _, m := range p.members {
		all = append(all, m.client)
	}
	return all
}

// CPU is the processor time that the servers have used.
func (p *processes) CPU() (sum time.Duration, err error) {
	used, err := p.CPUs()
	for _, of := range used {
		sum += of
	}
	return sum, err
}

// CPUs is the processor time that each server has used.
func (p *processes) CPUs() (used []time.Duration, err error) {
	for _, m := range p.members {
		of, err := m.used()
		if err != nil {
			return nil, err
		}
		used = append(used, of)
	}
	return used, nil
}

// stop ends the servers: those that do not within stopTimeout are killed.
func (p *processes) stop() error {
	var errs []error
	for _, m := range p.members {
		if m.process != nil {
			_ = m.process.Process.Signal(syscall.SIGTERM)
		}
	}
	timeout := time.After(stopTimeout)
	for _, m := range p.members {
		if m.process == nil {
			continue
		}
		select {
		case <-m.exited:
		case <-timeout:
			_ = m.process.Process.Kill()
			<-m.exited
			errs = append(errs, fmt.Errorf("%s did not stop within %s", m.name, stopTimeout))
		}
	}
	return errors.Join(errs...)
}

// initialCluster is etcd's --initial-cluster, which is balsa's too.
func initialCluster(all []*member) string {
	var parts []string
	for _, m := range all {
		parts = append(parts, m.name+"=http://"+m.peer)
	}
	return strings.Join(parts, ",")
}

// commonFlags are those that balsa and etcd share.
func commonFlags(m *member, all []*member) []string {
	return []string{
		"--name", m.name, "--data-dir", m.dir,
		"--listen-client-urls", "http://" + m.client, "--advertise-client-urls", "http://" + m.client,
		"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.peer,
		"--initial-cluster", initialCluster(all), "--initial-cluster-state", "new",
	}
}
