// Package service runs key/value services as their users do: three server processes
// on loopback, and clients in this process.
package service

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"balsa/bench/loopback"
	"balsa/bench/usage"
)

const (
	members      = 3
	readyTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// member is one server process.
type member struct {
	name, dir    string
	client, peer string // host:port
	process      *exec.Cmd
	exited       chan struct{}
}

// processes is the servers of a cluster.
type processes struct{ members []*member }

// launch starts the program three times, with the arguments that args gives for each
// member. Their output goes to files in dir.
func launch(program, dir string, args func(m *member, all []*member) []string) (*processes, error) {
	p := &processes{}
	at, err := loopback.Free(2 * members)
	if err != nil {
		return nil, err
	}
	for i := range members {
		name := fmt.Sprintf("n%d", i+1)
		p.members = append(p.members, &member{name: name, dir: filepath.Join(dir, name), client: at[2*i], peer: at[2*i+1]})
	}
	for _, m := range p.members {
		if err := m.start(program, args(m, p.members)); err != nil {
			return nil, errors.Join(err, p.stop())
		}
	}
	return p, nil
}

func (m *member) start(program string, args []string) error {
	log, err := os.Create(m.dir + ".log")
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", m.name, err)
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.process, m.exited = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(m.exited)
	}()
	return nil
}

// endpoints are where clients find the servers.
func (p *processes) endpoints() (all []string) {
	for _, m := range p.members {
		all = append(all, m.client)
	}
	return all
}

// CPU is the processor time that the servers have used.
func (p *processes) CPU() (sum time.Duration, err error) {
	for _, m := range p.members {
		used, err := usage.Of(m.process.Process.Pid)
		if err != nil {
			return 0, fmt.Errorf("processor time of %s: %w", m.name, err)
		}
		sum += used
	}
	return sum, nil
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
