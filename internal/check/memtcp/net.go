// Package memtcp is TCP in memory, for tests: hosts with addresses and names, and a network
// that drops packets without an error. As in TCP, a sender repeats what is not acknowledged,
// and waits twice as long each time: after a long outage a connection stays silent for about
// as long again.
//
//	n := memtcp.New()
//	a, b := n.Host("10.0.0.1"), n.Host("10.0.0.2")
//	n.Name("b", "10.0.0.2")
//	l := b.Listen("80")
//	conn, err := a.Dial(ctx, "b:80")
//	n.Cut("10.0.0.1", "10.0.0.2")
//
// In a bubble of virtual time (testing/synctest) waiting takes no time. Close ends all
// goroutines of the network.
package memtcp

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Times and sizes, about those of Linux.
const (
	firstResend = 200 * time.Millisecond // of data that is not acknowledged
	lastResend  = 2 * time.Minute
	synResend   = time.Second
	segment     = 16 << 10
	buffer      = 128 << 10 // of each side and direction, in bytes
)

// Net is a network. Hosts are known by their addresses.
type Net struct {
	running sync.WaitGroup
	done    chan struct{} // closed by Close

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when anything has changed
	hosts   map[string]*Host
	names   map[string]string
	dropped map[[2]string]bool // from, to
	rate    int
}

// New returns a network without hosts.
func New() *Net {
	return &Net{
		done: make(chan struct{}), changed: make(chan struct{}),
		hosts: make(map[string]*Host), names: make(map[string]string), dropped: make(map[[2]string]bool),
	}
}

// Close ends the network, and all that waits for it.
func (n *Net) Close() {
	n.change(func() {
		select {
		case <-n.done:
		default:
			close(n.done)
		}
	})
	n.running.Wait()
}

// change makes a change under the lock, and wakes all that wait for one.
func (n *Net) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	n.broadcast()
}

func (n *Net) broadcast() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// wait releases the lock until anything has changed, or until a time; the zero time stands for
// no time.
func (n *Net) wait(until time.Time) {
	var late <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		late = timer.C
	}
	changed := n.changed
	n.mu.Unlock()
	select {
	case <-changed:
	case <-late:
	}
	n.mu.Lock()
}

// Name makes a name resolve to an address from now on.
func (n *Net) Name(name, address string) { n.change(func() { n.names[name] = address }) }

// Cut drops all packets from one address to another from now on; Mend ends that.
func (n *Net) Cut(from, to string)  { n.change(func() { n.dropped[[2]string{from, to}] = true }) }
func (n *Net) Mend(from, to string) { n.change(func() { delete(n.dropped, [2]string{from, to}) }) }

// Rate limits each direction of each connection to a number of bytes a second; 0: no limit.
func (n *Net) Rate(bytes int) { n.change(func() { n.rate = bytes }) }

// passes tells whether packets pass from one address to another. Caller holds mu.
func (n *Net) passes(from, to string) bool { return !n.dropped[[2]string{from, to}] }

// Host is a host at one address.
type Host struct {
	net       *Net
	address   string
	up        bool
	listeners map[string]*listener
	conns     map[*conn]bool
}

// Host starts a host at an address. A host that is there crashes.
func (n *Net) Host(address string) *Host {
	h := &Host{net: n, address: address, up: true, listeners: make(map[string]*listener), conns: make(map[*conn]bool)}
	n.change(func() {
		if old := n.hosts[address]; old != nil {
			old.crash()
		}
		n.hosts[address] = h
	})
	return h
}

// Crash ends the host and its connections, without a packet to the other sides. Packets to its
// address get no answer until there is a host again.
func (h *Host) Crash() {
	h.net.change(func() {
		h.crash()
		if h.net.hosts[h.address] == h {
			delete(h.net.hosts, h.address)
		}
	})
}

func (h *Host) crash() {
	h.up = false
	for c := range h.conns {
		c.closed = true
	}
	for _, l := range h.listeners {
		l.closed = true
	}
	clear(h.listeners)
}

// listener is a port on which a host listens.
type listener struct {
	host    *Host
	port    string
	waiting []*conn
	closed  bool
}

// Listen opens a port, which is any text.
func (h *Host) Listen(port string) net.Listener {
	l := &listener{host: h, port: port}
	h.net.change(func() { h.listeners[port] = l })
	return l
}

func (l *listener) Accept() (net.Conn, error) {
	n := l.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for !l.closed {
		if len(l.waiting) > 0 {
			c := l.waiting[0]
			l.waiting = l.waiting[1:]
			return c, nil
		}
		n.wait(time.Time{})
	}
	return nil, net.ErrClosed
}

func (l *listener) Close() error {
	l.host.net.change(func() {
		l.closed = true
		if l.host.listeners[l.port] == l {
			delete(l.host.listeners, l.port)
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return endpoint(net.JoinHostPort(l.host.address, l.port)) }

type endpoint string

func (endpoint) Network() string  { return "tcp" }
func (e endpoint) String() string { return string(e) }

// Dial connects to host:port, where host is a name or an address. A name is resolved
// once. What is dropped is sent again after 1 s, 3 s, 7 s and so on.
func (h *Host) Dial(ctx context.Context, target string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	n := h.net
	stop := context.AfterFunc(ctx, func() { n.change(func() {}) })
	defer stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	address, known := n.names[name]
	if !known {
		address = name
	}
	for resend := synResend; ; resend *= 2 {
		remote := n.hosts[address]
		if remote != nil && n.passes(h.address, address) && n.passes(address, h.address) {
			l := remote.listeners[port]
			if l == nil {
				return nil, fmt.Errorf("dial %s: %w", target, syscall.ECONNREFUSED)
			}
			near, far := n.connect(h, remote, port)
			l.waiting = append(l.waiting, far)
			n.broadcast()
			return near, nil
		}
		for until := time.Now().Add(resend); time.Now().Before(until); n.wait(until) {
			switch {
			case ctx.Err() != nil:
				return nil, fmt.Errorf("dial %s: %w", target, ctx.Err())
			case !h.up:
				return nil, fmt.Errorf("dial %s: %w", target, syscall.ENETDOWN)
			}
		}
	}
}
