package main

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
)

// errNoNetns says that this machine does not let the rig make networks.
var errNoNetns = errors.New("no networks of our own here (--netns needs Linux, root, network namespaces, and the programs ip and nsenter)")

// The ports that members listen on, each on a machine of its own.
const (
	clientPort = 23790
	peerPort   = 23800
)

// netns is a network of the kernel: each member has a machine (a network namespace), the rig with
// its clients has another one, and a router is between them. The router drops packets without an
// error, as a broken switch does, or the network of a machine that vanishes.
//
//	n1: 10.1.0.2 ─┐
//	n2: 10.2.0.2 ─┼─ router ─ 10.0.0.2: clients, and the name server of n1-1.test ...
//	n3: 10.3.0.2 ─┘
//
// A server that joins later gets another machine, and one that moves another name and address.
// The namespaces end with the rig, which runs in its own one (see enterNetns).
type netns struct {
	members []*member
	router  *exec.Cmd // a process that keeps the router's namespace
	hosts   []*exec.Cmd
	at      []int // the last number of each member's address
	settled int   // how many names of machines there were
	names   *resolver
	rules   []string // the present rules that drop packets
}

// newNetns makes the machines and the wires between them.
func newNetns(members []*member) (n *netns, err error) {
	n = &netns{members: members}
	defer func() {
		if err != nil {
			n.close()
			err = fmt.Errorf("%w: %w", errNoNetns, err)
		}
	}()
	if n.router, err = machine(); err != nil {
		return n, err
	}
	if err := n.inRouter("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"); err != nil {
		return n, err
	}
	if err := n.wire(0, nil); err != nil {
		return n, err
	}
	if err := ip(nil, "addr add "+resolverAddress+"/24 dev e", "route add default via 10.0.0.1"); err != nil {
		return n, err
	}
	if n.names, err = newResolver(net.JoinHostPort(resolverAddress, "53")); err != nil {
		return n, err
	}
	for _, m := range members {
		if err := n.settle(m); err != nil {
			return n, err
		}
	}
	return n, nil
}

// maxMachines bounds how many machines there may be in a run: each has a network of its own.
const maxMachines = 250

// settle implements wiring: a new member gets a machine, and one that moves gets another name
// and another address for it.
func (n *netns) settle(m *member) error {
	if m.client == "" {
		if len(n.hosts) == maxMachines {
			return fmt.Errorf("no more than %d machines have room in the network", maxMachines)
		}
		host, err := machine()
		if err != nil {
			return err
		}
		m.index = len(n.hosts)
		n.hosts, n.at = append(n.hosts, host), append(n.at, 1)
		if err := n.wire(m.index+1, host); err != nil {
			return err
		}
	}
	n.settled++
	m.host = fmt.Sprintf("%s-%d.test", m.name, n.settled)
	m.client, m.peer = fmt.Sprintf("%s:%d", m.host, clientPort), fmt.Sprintf("%s:%d", m.host, peerPort)
	return n.move(m)
}

// machine starts a process that keeps a network namespace.
func machine() (*exec.Cmd, error) {
	cmd := exec.Command("sleep", "infinity")
	cmd.SysProcAttr = newNamespace()
	return cmd, cmd.Start()
}

// in is a command that runs on a machine; nil is the rig's own.
func in(machine *exec.Cmd, name string, args ...string) *exec.Cmd {
	if machine == nil {
		return exec.Command(name, args...)
	}
	return exec.Command("nsenter", append([]string{"-t", fmt.Sprint(machine.Process.Pid), "-n", name}, args...)...)
}

// ip runs a list of commands of ip on a machine.
func ip(machine *exec.Cmd, lines ...string) error {
	cmd := in(machine, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(lines, "; ip "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// wire connects a machine, nil for the rig's own, with the router: 10.i.0.0/24.
func (n *netns) wire(i int, host *exec.Cmd) error {
	if err := ip(host, "link set lo up", fmt.Sprintf("link add e type veth peer name r%d netns %d", i, n.router.Process.Pid), "link set e up"); err != nil {
		return err
	}
	return ip(n.router, fmt.Sprintf("addr add 10.%d.0.1/24 dev r%d", i, i), fmt.Sprintf("link set r%d up", i))
}

// move gives m's machine the next address, under the same name. Packets to the former address are
// lost from now on.
func (n *netns) move(m *member) error {
	i := m.index
	if former := n.at[i]; former > 1 {
		if err := ip(n.hosts[i], fmt.Sprintf("addr del 10.%d.0.%d/24 dev e", i+1, former)); err != nil {
			return err
		}
		if err := ip(n.router, fmt.Sprintf("route add blackhole 10.%d.0.%d/32", i+1, former)); err != nil {
			return err
		}
	}
	n.at[i]++
	address := fmt.Sprintf("10.%d.0.%d", i+1, n.at[i])
	if err := ip(n.hosts[i], "addr add "+address+"/24 dev e", fmt.Sprintf("route replace default via 10.%d.0.1", i+1)); err != nil {
		return err
	}
	n.names.set(m.host, address)
	return nil
}

// oneWay is the rule that drops what a sends to b.
func oneWay(a, b *member) string {
	return fmt.Sprintf("iif r%d to 10.%d.0.0/24", a.index+1, b.index+1)
}

// allFrom and allTo are the rules that drop what m sends, and what is sent to it.
func allFrom(m *member) string { return fmt.Sprintf("iif r%d", m.index+1) }
func allTo(m *member) string   { return fmt.Sprintf("to 10.%d.0.0/24", m.index+1) }

// drop adds rules to the router, until heal.
func (n *netns) drop(rules ...string) error {
	var lines []string
	for _, rule := range rules {
		lines = append(lines, "rule add pref 100 "+rule+" blackhole")
	}
	n.rules = append(n.rules, rules...)
	return ip(n.router, lines...)
}

// heal removes all rules.
func (n *netns) heal() error {
	var lines []string
	for _, rule := range n.rules {
		lines = append(lines, "rule del pref 100 "+rule+" blackhole")
	}
	n.rules = nil
	return ip(n.router, lines...)
}

func (n *netns) inRouter(name string, args ...string) error {
	out, err := in(n.router, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// client implements wiring.
func (n *netns) client(m *member) string { return m.client }

// listen implements wiring: a machine's address may change.
func (n *netns) listen(*member) (client, peer string) {
	return fmt.Sprintf("0.0.0.0:%d", clientPort), fmt.Sprintf("0.0.0.0:%d", peerPort)
}

// seenBy implements wiring.
func (n *netns) seenBy(*member) string { return initialCluster(n.members) }

// endpoints implements wiring.
func (n *netns) endpoints() (all []string) {
	for _, m := range n.members {
		all = append(all, m.client)
	}
	return all
}

// command implements wiring.
func (n *netns) command(m *member, name string, args ...string) *exec.Cmd {
	return in(n.hosts[m.index], name, args...)
}

func (n *netns) close() {
	if n.names != nil {
		n.names.close()
	}
	for _, m := range append(n.hosts, n.router) {
		if m != nil && m.Process != nil {
			_ = m.Process.Kill()
			_ = m.Wait()
		}
	}
}
