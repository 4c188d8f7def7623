package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/internal/fair"
	"balsa.example/internal/ratelog"
	"balsa.example/raft"
)

var (
	// ErrUnknownPeer says that a snapshot is for a node that is not a peer.
	ErrUnknownPeer = errors.New("transport: unknown peer")
	// ErrBusy says that a snapshot is on its way to that peer already.
	ErrBusy = errors.New("transport: another snapshot is being sent to this peer")
	// ErrClosed says that the Transport was closed, or the peer removed.
	ErrClosed = errors.New("transport: closed")
)

// Transport connects a node with its peers.
type Transport struct {
	cfg      Config
	self     identity
	log      *slog.Logger
	listener net.Listener
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	work     sync.WaitGroup // every goroutine
	receiver atomic.Pointer[Receiver]
	// handshakes has a place for each accepted connection whose peer is not known yet.
	handshakes *fair.Slots
	strangers  *ratelog.Logger
	twins      *ratelog.Logger
	unproven   atomic.Uint64 // connections that did not prove who is at the other end

	mu     sync.RWMutex
	closed bool
	peers  map[raft.NodeID]*peer
}

// New listens and connects to all peers. Until Start, messages that arrive are
// dropped and snapshots refused.
func New(cfg Config) (*Transport, error) {
	cfg, err := cfg.prepare()
	if err != nil {
		return nil, err
	}
	if cfg.Listener == nil {
		if cfg.Listener, err = net.Listen("tcp", cfg.Listen); err != nil {
			return nil, fmt.Errorf("listen for peers: %w", err)
		}
	}
	t := &Transport{
		cfg:        cfg,
		self:       identity{group: cfg.Group, id: cfg.ID, name: []byte(cfg.Name), boot: newBoot(), attributes: cfg.Attributes},
		log:        cfg.Logger,
		listener:   cfg.Listener,
		handshakes: fair.NewSlots(cfg.Limits.Strangers, 0),
		strangers:  newWarnings(cfg.Logger),
		twins:      newWarnings(cfg.Logger),
		peers:      make(map[raft.NodeID]*peer),
	}
	t.handshakes.OnSurplus = func(newcomer string) {
		warn(t.strangers, "connection in handshake closed", errors.New("there are too many"), "newcomer", newcomer)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	for id, address := range cfg.Peers {
		t.AddPeer(id, address)
	}
	t.work.Go(t.accept)
	return t, nil
}

// Start delivers what arrives from now on to r.
func (t *Transport) Start(r Receiver) { t.receiver.Store(&r) }

// Addr is the address that the Transport listens on.
func (t *Transport) Addr() net.Addr { return t.listener.Addr() }

// Close ends all connections and returns when no goroutine is left, and so when the
// receiver is not being called any more. Snapshots being sent fail with ErrClosed.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.listener.Close()
	t.work.Wait()
}

// AddPeer connects to node id at address from now on. A peer that is known already
// moves: its connection to the old address is closed.
func (t *Transport) AddPeer(id raft.NodeID, address string) {
	if id == t.self.id {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if p := t.peers[id]; p != nil {
		p.move(address)
		return
	}
	p := newPeer(t, id, address)
	t.peers[id] = p
	t.work.Go(p.run)
}

// RemovePeer ends all connections with node id and refuses new ones.
func (t *Transport) RemovePeer(id raft.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[id]; p != nil {
		delete(t.peers, id)
		p.cancel()
	}
}

// DialNow dials all peers that are not connected, without a pause: there is news.
func (t *Transport) DialNow() {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, p := range t.peers {
		p.dialNow()
	}
}

func (t *Transport) peer(id raft.NodeID) *peer {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.peers[id]
}

// PeerStatus is what is known of a peer at a moment.
type PeerStatus struct {
	ID      raft.NodeID
	Address string
	// Connected says that messages can be sent to the peer, and Inbound that the
	// peer can send to this node.
	Connected, Inbound bool
	// Admitted says that the peer has agreed to talk to this node and has not
	// refused it since.
	Admitted bool
	// LastError is why the last attempt to connect has failed or the last
	// connection has ended; empty while Connected.
	LastError string
	// Attributes are what the peer has said of itself last.
	Attributes []byte
	// LastActive is when the peer was last heard of; zero if never.
	LastActive time.Time
	// Dropped is the number of messages to the peer that were not sent.
	Dropped uint64
	// BytesIn and BytesOut count messages and snapshots, with their frames.
	BytesIn, BytesOut uint64
}

// Peers returns the state of every peer, ordered by id.
func (t *Transport) Peers() []PeerStatus {
	t.mu.RLock()
	peers := slices.Collect(maps.Values(t.peers))
	t.mu.RUnlock()
	all := make([]PeerStatus, 0, len(peers))
	for _, p := range peers {
		all = append(all, p.status())
	}
	slices.SortFunc(all, func(a, b PeerStatus) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Refused counts the connections that failed in the handshake of TLS, or whose certificate
// was not one of the node that it was to prove.
func (t *Transport) Refused() uint64 { return t.unproven.Load() }

// Peer returns the state of one peer.
func (t *Transport) Peer(id raft.NodeID) (PeerStatus, bool) {
	if p := t.peer(id); p != nil {
		return p.status(), true
	}
	return PeerStatus{}, false
}

// Handshakes tells of accepted connections whose peer is not known yet.
func (t *Transport) Handshakes() fair.Stats { return t.handshakes.Stats() }

// Send implements rsm.Transport. Messages to unknown and to unconnected peers are
// dropped, and so are those that a peer's queue has no room for.
func (t *Transport) Send(ms []raft.Message) {
	for len(ms) > 0 {
		to := ms[0].Head().To
		n := 1
		for n < len(ms) && ms[n].Head().To == to {
			n++
		}
		if p := t.peer(to); p != nil {
			p.enqueue(ms[:n])
		}
		ms = ms[n:]
	}
}

// accept serves connections until the listener is closed.
func (t *Transport) accept() {
	for {
		conn, err := t.listener.Accept()
		switch {
		case t.ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return
		case err != nil:
			// Out of descriptors, mostly. Others may become free.
			warn(t.strangers, "accept peer connection", err)
			pause(t.ctx, nil, t.cfg.Limits.RedialMax)
			continue
		}
		// Whoever is silent gives way to newcomers, so that members always get in.
		slot := t.handshakes.Take(fair.Source(conn.RemoteAddr()), func() { hangUp(conn) })
		t.work.Go(func() { t.serve(conn, slot) })
	}
}

// serve does all there is to do with an accepted connection. slot is its place among
// those whose peer is not known.
func (t *Transport) serve(raw net.Conn, slot *fair.Slot) {
	e := &ear{Conn: raw}
	conn := net.Conn(e)
	if t.cfg.ServerTLS != nil {
		conn = tls.Server(e, t.cfg.ServerTLS)
	}
	defer conn.Close()
	stop := closeWith(t.ctx, conn)
	defer stop()

	conn.SetDeadline(time.Now().Add(t.cfg.Limits.Handshake))
	f := newFrameReader(conn, helloMax)
	p, h, err := t.receive(conn, f)
	if !slot.Leave() {
		return // another one has its place
	}
	if err != nil {
		t.turnedAway(conn, p, h, err)
		return
	}
	conn.SetDeadline(time.Time{})
	l := newLine(p.ctx, p, conn, e, f, h.from.boot) // p.ctx ends with t.ctx, too
	defer l.close()
	if h.purpose == forSnapshot {
		p.receiveSnapshot(l)
	} else {
		f.maxPayload = t.cfg.Limits.MaxFrame
		p.receiveMessages(l, h.from)
	}
}

// turnedAway reports why an accepted connection did not get through the handshake.
func (t *Transport) turnedAway(conn net.Conn, p *peer, h hello, err error) {
	if t.ctx.Err() != nil {
		return
	}
	const what = "connection from peer failed"
	r := new(Refusal)
	switch {
	case isLater(err):
	case p == nil:
		t.strangers.WarnChange(fair.Source(conn.RemoteAddr())+" "+err.Error(), what,
			"peer", h.from.id, "address", conn.RemoteAddr(), "error", err)
	case errors.As(err, &r) && r.By != raft.None:
		p.refused(r)
	default:
		warn(p.inbound, what, err, "address", conn.RemoteAddr())
	}
}

// newWarnings returns a log of what goes wrong in one place: at most one line a second.
func newWarnings(log *slog.Logger) *ratelog.Logger { return ratelog.New(log, 1, time.Second) }

// warn logs an error unless it is the one that was logged last.
func warn(l *ratelog.Logger, what string, err error, args ...any) {
	l.WarnChange(err.Error(), what, append(args, "error", err)...)
}

// closeWith closes conn when ctx ends, unless the function returned is called.
func closeWith(ctx context.Context, conn net.Conn) func() bool {
	return context.AfterFunc(ctx, func() { hangUp(conn) })
}

// hangUp closes conn without the goodbye of TLS, which could block.
func hangUp(conn net.Conn) {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	conn.Close()
}

// pause waits for d, or less if ctx ends or there is something in kick.
func pause(ctx context.Context, kick <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
	case <-ctx.Done():
	}
}
