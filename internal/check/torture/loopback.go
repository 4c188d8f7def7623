package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// loopback lets members and clients reach each other without anything in between, on ports of this
// machine: a member can get other addresses at any time.
type loopback struct {
	members []*member // the first ones
	ports   *rand.Rand
	taken   map[string]bool
}

// newLoopbackCluster prepares n members in dir, which it makes.
func newLoopbackCluster(binary, dir string, n int, flags []string, seed uint64) (*cluster, error) {
	c := &cluster{binary: binary, flags: flags}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return c, err
	}
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		c.members = append(c.members, &member{index: i, name: name, dir: filepath.Join(dir, name), log: filepath.Join(dir, name+".log")})
	}
	c.loopback = &loopback{members: c.members, ports: rand.New(rand.NewPCG(seed, uint64(os.Getpid()))), taken: make(map[string]bool)}
	c.wiring = c.loopback
	for _, m := range c.members {
		if err := c.settle(m); err != nil {
			return c, err
		}
	}
	return c, nil
}

// settle implements wiring.
func (l *loopback) settle(m *member) (err error) {
	for _, address := range []*string{&m.client, &m.peer} {
		if *address, err = freeAddress(l.ports, l.taken); err != nil {
			return err
		}
	}
	return nil
}

// listen implements wiring.
func (l *loopback) listen(m *member) (client, peer string) { return m.client, m.peer }

// client implements wiring.
func (l *loopback) client(m *member) string { return m.client }

// seenBy implements wiring.
func (l *loopback) seenBy(*member) string { return initialCluster(l.members) }

// initialCluster is the --initial-cluster of members that reach each other at their own addresses.
func initialCluster(members []*member) string {
	var parts []string
	for _, m := range members {
		parts = append(parts, m.name+"=http://"+m.peer)
	}
	return strings.Join(parts, ",")
}

// endpoints implements wiring.
func (l *loopback) endpoints() (all []string) {
	for _, m := range l.members {
		all = append(all, m.client)
	}
	return all
}

// command implements wiring: all members run on this machine.
func (l *loopback) command(_ *member, name string, args ...string) *exec.Cmd {
	return exec.Command(name, args...)
}

// close implements wiring.
func (l *loopback) close() {}
