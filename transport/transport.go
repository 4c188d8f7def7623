package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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

// Transport connects a node with its peers.
type Transport struct {
	cfg      Config
	self     identity
	log      *slog.Logger
	listener net.Listener
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	work     sync.WaitGroup // every goroutine
	receiver atomic.Pointer[started]
	// handshakes has a place for each accepted connection whose peer is not known yet.
	handshakes   *fair.Slots
	unidentified *ratelog.Logger // about those connections
	duplicates   *ratelog.Logger // about other processes that speak for this node
	// serving and strangers have a token for each call that is served: of a member, of a stranger.
	serving, strangers chan struct{}
	// unauthenticated counts connections that did not prove which node is at the other end.
	unauthenticated atomic.Uint64
	// accepted counts connections that were accepted, open those of them that have said of which
	// member they are and have not ended.
	accepted atomic.Uint64
	open     atomic.Int64

	mu     sync.RWMutex
	closed bool
	peers  map[raft.NodeID]*peer
}

// New listens and connects to all peers. Until Start, messages that arrive are
// dropped, and snapshots and fetches refused. On error nothing runs, and Config.Listener stays open.
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
		cfg:          cfg,
		self:         identity{group: cfg.Group, id: cfg.ID, name: []byte(cfg.Handshake.Name), process: newProcessID(), attributes: cfg.Handshake.Attributes},
		log:          cfg.Logger,
		listener:     cfg.Listener,
		handshakes:   fair.NewSlots(cfg.Limits.MaxHandshakes, 0),
		unidentified: newWarnings(cfg.Logger),
		duplicates:   newWarnings(cfg.Logger),
		serving:      make(chan struct{}, maxServedCalls),
		strangers:    make(chan struct{}, maxStrangers),
		peers:        make(map[raft.NodeID]*peer),
	}
	t.handshakes.OnSurplus = func(newcomer string) {
		warn(t.unidentified, "connection in handshake closed", errors.New("there are too many"), "newcomer", newcomer)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	for id, address := range cfg.Peers {
		t.AddPeer(id, address)
	}
	t.work.Go(t.accept)
	return t, nil
}

// Receiver is what a Transport delivers to: an rsm.Receiver, which may be an
// rsm.ResumingReceiver and an rsm.FileOpener. It may have one more method, as an rsm.Node does:
//
//	Unreachable(id raft.NodeID)
//
// That one is called when the other side closes or resets the connections of a peer that was
// up, mostly because its process has ended: once for both connections of a pair, until one
// of them is up again. It must not block.
type Receiver interface {
	// Receive takes a message that arrived. It must not block.
	Receive(m raft.Message)
	// ReceiveSnapshot stores a snapshot and returns when it is durable.
	ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error
}

// started is what Start was given.
type started struct {
	Receiver
	unreachable func(id raft.NodeID)                // nil if the Receiver has no such method
	offset      func(m *raft.InstallSnapshot) int64 // the same
	openFile    func(name []byte, offset int64) (io.ReadCloser, error)
}

// Start delivers what arrives from now on to r, and tells it which peers are unreachable.
func (t *Transport) Start(r Receiver) {
	s := &started{Receiver: r}
	if u, ok := r.(interface{ Unreachable(id raft.NodeID) }); ok {
		s.unreachable = u.Unreachable
	}
	if o, ok := r.(interface {
		SnapshotOffset(m *raft.InstallSnapshot) int64
	}); ok {
		s.offset = o.SnapshotOffset
	}
	if o, ok := r.(interface {
		OpenFile(name []byte, offset int64) (io.ReadCloser, error)
	}); ok {
		s.openFile = o.OpenFile
	}
	t.receiver.Store(s)
}

// Addr is the address that the Transport listens on.
func (t *Transport) Addr() net.Addr { return t.listener.Addr() }

// Close ends all connections and returns when no goroutine is left, and so when the
// receiver is not being called any more. Snapshots being sent, and fetches, fail with ErrClosed.
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
	// MinorVersion is the minor version of the protocol that the peer has spoken last: which of the
	// frames that came later it knows.
	MinorVersion byte
	// LastActive is when the peer was last heard of; zero if never.
	LastActive time.Time
	// Dropped is the number of messages to the peer that were not sent.
	Dropped uint64
	// Disconnected is how often the connection for messages to the peer was lost.
	Disconnected uint64
	// BytesIn and BytesOut count messages, snapshots and files, with their frames.
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

// Peer returns the state of one peer.
func (t *Transport) Peer(id raft.NodeID) (PeerStatus, bool) {
	if p := t.peer(id); p != nil {
		return p.status(), true
	}
	return PeerStatus{}, false
}

// Stats are figures about connections whose handshake has not ended, or has failed.
type Stats struct {
	// Handshakes is the number of accepted connections whose peer is not known yet. At most
	// MaxHandshakes, as in Limits.
	Handshakes, MaxHandshakes int
	// Evicted counts connections that were closed in the handshake, to make room for others.
	Evicted uint64
	// Unauthenticated counts connections, accepted or dialed, that failed in the handshake of
	// TLS or that Config.Authorize refused.
	Unauthenticated uint64
	// Accepted counts connections that were accepted, and Open is how many of them there are of which
	// the handshake is over.
	Accepted uint64
	Open     int64
}

// Stats returns the figures of this moment.
func (t *Transport) Stats() Stats {
	s := t.handshakes.Stats()
	return Stats{s.Taken, s.Max, s.Evicted, t.unauthenticated.Load(), t.accepted.Load(), t.open.Load()}
}

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
			warn(t.unidentified, "accept peer connection", err)
			pause(t.ctx, nil, t.cfg.Limits.RedialMax)
			continue
		}
		// Silent connections give way to new ones, so that members always get in.
		t.accepted.Add(1)
		slot := t.handshakes.Take(fair.Source(conn.RemoteAddr()), func() { hangUp(conn) })
		t.work.Go(func() { t.serve(conn, slot) })
	}
}

// serve does the handshake on an accepted connection, and then receives messages or a
// snapshot, or sends a file. slot is its place among the connections whose peer is not known.
func (t *Transport) serve(raw net.Conn, slot *fair.Slot) {
	m := &monitor{Conn: raw}
	conn := net.Conn(m)
	if t.cfg.TLS != nil {
		conn = tls.Server(m, t.cfg.TLS)
	}
	defer conn.Close()
	stop := closeWith(t.ctx, conn)
	defer stop()

	conn.SetDeadline(time.Now().Add(t.cfg.Limits.HandshakeTimeout))
	f := newFrameReader(conn, helloMax)
	p, h, err := t.acceptHandshake(conn, f)
	var request []byte
	if err == nil && h.purpose == forCall {
		request, err = readCall(f) // before the slot is left, since a stranger has proved nothing
	}
	if !slot.Leave() {
		return // another one has its place
	}
	if err != nil {
		t.handshakeFailed(conn, p, h, err)
		return
	}
	t.open.Add(1)
	defer t.open.Add(-1)
	if h.purpose == forCall {
		t.serveCall(conn, f, h.from.id, request)
		return
	}
	conn.SetDeadline(time.Time{})
	c := newConnection(p.ctx, p, conn, m, f, h.from.process) // p.ctx ends with t.ctx, too
	defer c.close()
	switch h.purpose {
	case forSnapshot:
		p.receiveSnapshot(c)
	case forFetch:
		p.serveFetch(c)
	default:
		f.maxPayload = t.cfg.Limits.MaxFrame
		p.receiveMessages(c, h.from)
	}
}

// handshakeFailed logs why an accepted connection did not get through the handshake.
func (t *Transport) handshakeFailed(conn net.Conn, p *peer, h hello, err error) {
	if t.ctx.Err() != nil {
		return
	}
	const what = "connection from peer failed"
	r := new(Refusal)
	switch {
	case isNotYet(err):
	case p == nil:
		t.unidentified.WarnChange(fair.Source(conn.RemoteAddr())+" "+err.Error(), what,
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

// pause waits for d, or less if ctx ends or wake delivers.
func pause(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}
