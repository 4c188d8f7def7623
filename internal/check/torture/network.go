package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// network has a proxy for each ordered pair of members, and one for the clients of each member.
// All connections go through them.
type network struct {
	members []*member
	peers   map[[2]int]*proxy // by index of the member that dials, and of the one that is dialed
	clients []*proxy
}

func newNetwork(members []*member, seed uint64) (*network, error) {
	n := &network{members: members, peers: make(map[[2]int]*proxy)}
	for i, to := range members {
		p, err := newProxy(to.client, seed)
		if err != nil {
			n.close()
			return nil, err
		}
		n.clients = append(n.clients, p)
		for j := range members {
			if j == i {
				continue
			}
			p, err := newProxy(to.peer, seed+uint64(i*len(members)+j))
			if err != nil {
				n.close()
				return nil, err
			}
			n.peers[[2]int{j, i}] = p
		}
	}
	return n, nil
}

// seenBy is m's --initial-cluster, with the addresses of m's proxies to the others.
func (n *network) seenBy(m *member) string {
	var parts []string
	for _, to := range n.members {
		address := to.peer
		if to != m {
			address = n.peers[[2]int{m.index, to.index}].address()
		}
		parts = append(parts, to.name+"=http://"+address)
	}
	return strings.Join(parts, ",")
}

// client is the address at which clients reach m, and which m advertises.
func (n *network) client(m *member) string { return n.clients[m.index].address() }

// listen returns the addresses on which m listens, behind the proxies.
func (n *network) listen(m *member) (client, peer string) { return m.client, m.peer }

// command implements wiring: all members run on this machine.
func (n *network) command(_ *member, name string, args ...string) *exec.Cmd {
	return exec.Command(name, args...)
}

// settle implements wiring: the proxies are for the first members, where these are.
func (n *network) settle(*member) error { return errors.New("members do not move behind proxies") }

// endpoints are the addresses at which clients reach the members.
func (n *network) endpoints() (all []string) {
	for _, p := range n.clients {
		all = append(all, p.address())
	}
	return all
}

func (n *network) all() (all []*proxy) {
	for _, p := range n.peers {
		all = append(all, p)
	}
	return append(all, n.clients...)
}

func (n *network) close() {
	for _, p := range n.all() {
		p.close()
	}
}

// scope is the part of the network that a fault affects.
type scope struct {
	name    string
	proxies []*proxy
}

// link is the connections from one member to another.
func (n *network) link(from, to *member) scope {
	return scope{from.name + ">" + to.name, []*proxy{n.peers[[2]int{from.index, to.index}]}}
}

// pair is the connections of two members with each other.
func (n *network) pair(a, b *member) scope {
	return scope{a.name + "<>" + b.name, append(n.link(a, b).proxies, n.link(b, a).proxies...)}
}

// peersOf is the connections of m with all other members.
func (n *network) peersOf(m *member) scope {
	return n.others(m, "peers of ", func(other *member) scope { return n.pair(m, other) })
}

// from is the connections that m makes to all others, and to is those that they make to m.
func (n *network) from(m *member) scope {
	return n.others(m, "connections from ", func(other *member) scope { return n.link(m, other) })
}

func (n *network) to(m *member) scope {
	return n.others(m, "connections to ", func(other *member) scope { return n.link(other, m) })
}

// others joins the scopes that with returns for each member but m.
func (n *network) others(m *member, name string, with func(other *member) scope) scope {
	p := scope{name: name + m.name}
	for _, other := range n.members {
		if other != m {
			p.proxies = append(p.proxies, with(other).proxies...)
		}
	}
	return p
}

func (n *network) clientsOf(m *member) scope {
	return scope{"clients of " + m.name, []*proxy{n.clients[m.index]}}
}

// allOf is all connections of m, those of its clients included.
func (n *network) allOf(m *member) scope {
	return scope{"all of " + m.name, append(n.peersOf(m).proxies, n.clients[m.index])}
}

func (p scope) set(i impairment) {
	for _, proxy := range p.proxies {
		proxy.set(i)
	}
}

func (p scope) endAll(how ending) {
	for _, proxy := range p.proxies {
		proxy.endAll(how)
	}
}

func (i impairment) String() string {
	switch {
	case i.blackHole == [2]bool{true, true}:
		return "both ways"
	case i.blackHole[up]:
		return "only up"
	case i.blackHole[down]:
		return "only down"
	case i.trickle > 0:
		return fmt.Sprintf("%d bytes in %v", i.trickle, tick)
	case i.delay+i.jitter > 0:
		round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
		return fmt.Sprintf("%v and up to %v more", round(i.delay), round(i.jitter))
	default:
		return "no impairment"
	}
}
