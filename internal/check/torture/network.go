package main

import (
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// network is a proxy for each directed pair of members, and one for the clients of
// each: no connection gets by.
type network struct {
	members []*member
	peers   map[[2]int]*proxy // {who dials, who is dialed}
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

// seenBy is m's --initial-cluster: the others are where m's proxies to them are.
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

// client is where clients reach m, and what m tells them.
func (n *network) client(m *member) string { return n.clients[m.index].address() }

// listen is where m listens, behind the proxies.
func (n *network) listen(m *member) (client, peer string) { return m.client, m.peer }

// command runs what it is told on this machine, as all members do.
func (n *network) command(_ *member, name string, args ...string) *exec.Cmd {
	return exec.Command(name, args...)
}

// endpoints are where clients reach the members.
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

// place is a part of the network that a fault is at.
type place struct {
	name    string
	proxies []*proxy
}

// link is what from sends to to.
func (n *network) link(from, to *member) place {
	return place{from.name + ">" + to.name, []*proxy{n.peers[[2]int{from.index, to.index}]}}
}

// pair is what two members send to each other.
func (n *network) pair(a, b *member) place {
	return place{a.name + "<>" + b.name, append(n.link(a, b).proxies, n.link(b, a).proxies...)}
}

// peersOf is what connects m with all other members.
func (n *network) peersOf(m *member) place {
	p := place{name: "peers of " + m.name}
	for _, other := range n.members {
		if other != m {
			p.proxies = append(p.proxies, n.pair(m, other).proxies...)
		}
	}
	return p
}

// from is what m sends to all others, and to what all others send to it.
func (n *network) from(m *member) place {
	p := place{name: "all that " + m.name + " sends"}
	for _, other := range n.members {
		if other != m {
			p.proxies = append(p.proxies, n.link(m, other).proxies...)
		}
	}
	return p
}

func (n *network) to(m *member) place {
	p := place{name: "all that " + m.name + " hears"}
	for _, other := range n.members {
		if other != m {
			p.proxies = append(p.proxies, n.link(other, m).proxies...)
		}
	}
	return p
}

func (n *network) clientsOf(m *member) place {
	return place{"clients of " + m.name, []*proxy{n.clients[m.index]}}
}

// allOf is all that reaches m or comes from it.
func (n *network) allOf(m *member) place {
	return place{"all of " + m.name, append(n.peersOf(m).proxies, n.clients[m.index])}
}

func (p place) set(w weather) {
	for _, proxy := range p.proxies {
		proxy.set(w)
	}
}

func (p place) endAll(how ending) {
	for _, proxy := range p.proxies {
		proxy.endAll(how)
	}
}

func (w weather) String() string {
	switch {
	case w.hole == [2]bool{true, true}:
		return "both ways"
	case w.hole[up]:
		return "only up"
	case w.hole[down]:
		return "only down"
	case w.trickle > 0:
		return fmt.Sprintf("%d bytes in %v", w.trickle, tick)
	case w.delay+w.jitter > 0:
		round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
		return fmt.Sprintf("%v and up to %v more", round(w.delay), round(w.jitter))
	default:
		return "fair"
	}
}
