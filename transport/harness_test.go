package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

var (
	_ rsm.Transport = (*Transport)(nil)
	_ rsm.Receiver  = Receiver(nil)
	_ Receiver      = rsm.Receiver(nil)
)

// pipeNet is a bubble of virtual time in which nodes talk through pipeNet. As a bubble
// ends only when its goroutines have, each test is also one of Close.
type pipeNet struct {
	t         *testing.T
	mu        sync.Mutex
	listeners map[string]*pipeListener
	nodes     []*node
}

func withPipeNet(t *testing.T, f func(t *testing.T, w *pipeNet)) {
	synctest.Test(t, func(t *testing.T) {
		w := &pipeNet{t: t, listeners: make(map[string]*pipeListener)}
		defer func() {
			for _, n := range w.nodes {
				n.Close()
			}
		}()
		f(t, w)
	})
}

// pipeListener hands out the far ends of pipeNet. Its name is its address.
type pipeListener struct {
	w      *pipeNet
	name   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (w *pipeNet) listen(name string) *pipeListener {
	l := &pipeListener{w: w, name: name, conns: make(chan net.Conn), closed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners[name] = l
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr  { return l }
func (l *pipeListener) Network() string { return "pipe" }
func (l *pipeListener) String() string  { return l.name }

func (w *pipeNet) dial(ctx context.Context, address string) (net.Conn, error) {
	w.mu.Lock()
	l := w.listeners[address]
	w.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// node is a Transport and what came out of it.
type node struct {
	*Transport
	log lockedBuffer

	mu       sync.Mutex
	events   []string
	messages []raft.Message
	snapshot func(m *raft.InstallSnapshot, data io.Reader) error
}

func (n *node) event(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, fmt.Sprintf(format, args...))
}

func (n *node) Receive(m raft.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.messages = append(n.messages, m)
}

func (n *node) ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	return n.snapshot(m, data)
}

func (n *node) Unreachable(id raft.NodeID) { n.event("down %s", id) }

// took returns what has happened since it was called last, once all is quiet.
func (n *node) took() (events string, messages []raft.Message) {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	events, messages = strings.Join(n.events, "; "), n.messages
	n.events, n.messages = nil, nil
	return events, messages
}

func (n *node) logged() string {
	synctest.Wait()
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	return n.log.b.String()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

const group = 0xba15a

// config is the configuration of node id in a cluster of three at the addresses n1 to n3.
func (w *pipeNet) config(id raft.NodeID) Config {
	return Config{
		ID: id, Group: group,
		Handshake: Handshake{
			Members:    []string{"n1", "n2", "n3"},
			Card:       func() []byte { return []byte{byte(id)} },
			Attributes: []byte("attributes of " + id.String()),
		},
		Listener: w.listen(id.String()),
		Peers:    map[raft.NodeID]string{1: "n1", 2: "n2", 3: "n3"},
		Dial:     w.dial,
	}
}

// up starts a node whose configuration may be changed first.
func (w *pipeNet) up(id raft.NodeID, changes ...func(*Config)) *node {
	n := w.listening(id, changes...)
	n.Start(n)
	return n
}

// listening makes a node without starting it.
func (w *pipeNet) listening(id raft.NodeID, changes ...func(*Config)) *node {
	w.t.Helper()
	n := &node{}
	c := w.config(id)
	c.Logger = slog.New(slog.NewTextHandler(&n.log, nil))
	c.onPeerUp = func(id raft.NodeID) { n.event("up %s", id) }
	c.Handshake.OnRefused = func(r *Refusal) { n.event("refused by %s: %s", r.By, r.Reason) }
	for _, change := range changes {
		change(&c)
	}
	t, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	n.Transport = t
	w.nodes = append(w.nodes, n)
	return n
}

func (n *node) status(id raft.NodeID) PeerStatus {
	synctest.Wait()
	s, _ := n.Peer(id)
	return s
}

// say sends numbered messages.
func (n *node) say(to raft.NodeID, terms ...raft.Term) {
	var ms []raft.Message
	for _, term := range terms {
		ms = append(ms, &raft.TimeoutNow{Header: raft.Header{From: n.self.id, To: to, Term: term}})
	}
	n.Send(ms)
}

// hears tells which numbers have arrived.
func (n *node) hears() string {
	_, ms := n.took()
	var terms []string
	for _, m := range ms {
		terms = append(terms, fmt.Sprint(m.Head().Term))
	}
	return strings.Join(terms, " ")
}

// rawPeer is a connection that the test drives by hand, past the handshake.
type rawPeer struct {
	net.Conn
	monitor *monitor
	frames  *frameReader
	of      *peer // as the node that it talks to
}

// newRawPeer takes conn over for node id of the cluster, to talk to a node.
func newRawPeer(conn net.Conn, id, to raft.NodeID) (*rawPeer, *Transport) {
	m := &monitor{Conn: conn}
	t := &Transport{
		self: identity{group: group, id: id}, cfg: Config{Limits: Limits{}.withDefaults()},
		peers: map[raft.NodeID]*peer{1: {}, 2: {}, 3: {}},
	}
	return &rawPeer{m, m, newFrameReader(m, 1<<20), &peer{t: t, id: to}}, t
}

// keepAlive makes the rawPeer write keepalive frames until the other side hangs up.
func (p *rawPeer) keepAlive(t *testing.T) *connection {
	c := newConnection(t.Context(), p.of, p.Conn, p.monitor, p.frames, processID{})
	t.Cleanup(c.close)
	return c
}

// rawDial connects to n as node id would.
func (w *pipeNet) rawDial(n *node, id raft.NodeID, what purpose) *rawPeer {
	w.t.Helper()
	conn, err := w.dial(context.Background(), n.self.id.String())
	if err != nil {
		w.t.Fatal(err)
	}
	p, t := newRawPeer(conn, id, n.self.id)
	if _, err := t.dialHandshake(conn, p.frames, n.self.id, what); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// rawAccept waits for a node to dial id, and lets it in.
func (w *pipeNet) rawAccept(l *pipeListener, id raft.NodeID) *rawPeer {
	w.t.Helper()
	conn, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	p, t := newRawPeer(conn, id, 0)
	_, h, err := t.acceptHandshake(conn, p.frames)
	if err != nil {
		w.t.Fatal(err)
	}
	p.of.id = h.from.id
	return p
}

// gone tells whether the other side has hung up.
func (p *rawPeer) gone() bool {
	p.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := io.Copy(io.Discard, p.Conn)
	return !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
