package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"balsa.example/internal/ratelog"
	"balsa.example/internal/wake"
	"balsa.example/raft"
)

// peer is what a Transport knows of one other node. Its goroutine (run) keeps the
// connection to that node up; serve has one for each connection from it.
type peer struct {
	t      *Transport
	id     raft.NodeID
	log    *slog.Logger
	ctx    context.Context // ends when the peer is removed, or with the Transport
	cancel context.CancelFunc
	wake   wake.Signal // dial now, without a pause
	queue  queue

	// sending holds a token while a snapshot is sent to the peer, receiving while
	// one arrives from it.
	sending, receiving chan struct{}
	// fetching holds a token for each fetch from the peer, serving for each by it.
	fetching, serving chan struct{}

	outbound, inbound, refusals *ratelog.Logger

	dropped, bytesIn, bytesOut atomic.Uint64
	lost                       atomic.Uint64 // connections for messages that have ended
	lastActive                 atomic.Int64  // Unix nanoseconds

	mu      sync.Mutex
	address string
	dials   int // attempts to connect: each takes the next of several addresses
	// cancelDial ends the attempt to connect for messages that is under way.
	cancelDial context.CancelFunc
	// out and in are the connections for messages; snapshotIn is the latest for a
	// snapshot from the peer. All nil while there is none.
	out, in, snapshotIn *connection
	admitted            bool
	lastError           string
	lastRefusal         string
	remote              identity
	// up is set when a connection for messages begins, and unset when the peer is reported
	// to be down.
	up bool
}

func newPeer(t *Transport, id raft.NodeID, address string) *peer {
	log := t.log.With("peer", id)
	p := &peer{
		t: t, id: id, address: address, log: log,
		wake:      wake.New(),
		queue:     newQueue(t.cfg.Limits),
		sending:   make(chan struct{}, 1),
		receiving: make(chan struct{}, 1),
		fetching:  make(chan struct{}, maxFetches),
		serving:   make(chan struct{}, maxServedFetches),
		outbound:  newWarnings(log),
		inbound:   newWarnings(log),
		refusals:  newWarnings(log),
	}
	p.ctx, p.cancel = context.WithCancel(t.ctx)
	return p
}

func (p *peer) status() PeerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PeerStatus{
		ID: p.id, Address: p.address,
		Connected: p.out != nil, Inbound: p.in != nil,
		Admitted: p.admitted, LastError: p.lastError,
		Attributes: p.remote.attributes, MinorVersion: p.remote.minor,
		Dropped: p.dropped.Load(), Disconnected: p.lost.Load(), BytesIn: p.bytesIn.Load(), BytesOut: p.bytesOut.Load(),
	}
	if at := p.lastActive.Load(); at != 0 {
		s.LastActive = time.Unix(0, at)
	}
	return s
}

// move changes the peer's address.
func (p *peer) move(address string) {
	p.mu.Lock()
	out := p.out
	changed := p.address != address
	p.address = address
	p.mu.Unlock()
	if !changed {
		return
	}
	if out != nil {
		out.hangUp()
	}
	p.dialNow()
}

// dialNow dials without a pause. An attempt that has not found the peer yet begins
// anew: it may be on its way to an address that the peer has left.
func (p *peer) dialNow() {
	p.wake.Set()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancelDial != nil {
		p.cancelDial()
	}
}

func (p *peer) enqueue(ms []raft.Message) {
	if n := p.queue.put(ms); n > 0 {
		p.dropped.Add(uint64(n))
	}
}

// run keeps a connection to the peer up until the peer is removed.
func (p *peer) run() {
	limits := p.t.cfg.Limits
	wait := limits.RedialMin
	for p.ctx.Err() == nil {
		c, remote, err := p.dial(p.ctx, forMessages)
		if err == nil && !p.connected(c, remote) {
			c.close()
			err = errors.New("another process of the peer has connected meanwhile")
		}
		if err == nil {
			begin := time.Now()
			err = p.write(c)
			p.disconnected(err)
			if time.Since(begin) > limits.RedialMax { // else it may be lost again as soon as it is up
				wait = limits.RedialMin
			}
		} else {
			p.failed(err)
		}
		pause(p.ctx, p.wake.C(), wait-rand.N(wait/2+1))
		wait = min(2*wait, limits.RedialMax)
	}
}

// dial connects to the peer and does the handshake. An attempt takes no longer than
// Limits.KeepaliveTimeout, and resolves the host of the address again.
func (p *peer) dial(ctx context.Context, what purpose) (*connection, identity, error) {
	deadline := time.Now().Add(p.t.cfg.Limits.KeepaliveTimeout)
	raw, address, err := p.connect(ctx, deadline, what)
	if err != nil {
		return nil, identity{}, fmt.Errorf("dial %s: %w", p.id, err)
	}
	m := &monitor{Conn: raw}
	conn := net.Conn(m)
	if p.t.cfg.TLS != nil {
		conn = tls.Client(m, clientTLS(p.t.cfg.TLS, address))
	}
	stop := closeWith(ctx, conn)
	conn.SetDeadline(deadline)
	f := newFrameReader(conn, helloMax)
	var remote identity
	if err = p.t.dialTLS(conn, p.id); err == nil {
		remote, err = p.t.dialHandshake(conn, f, p.id, what)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		hangUp(conn)
		return nil, remote, err
	}
	conn.SetDeadline(time.Time{})
	return newConnection(ctx, p, conn, m, f, remote.process), remote, nil
}

// connect dials the peer's address, or the next one of several. For messages, dialNow may end the attempt.
func (p *peer) connect(ctx context.Context, deadline time.Time, what purpose) (net.Conn, string, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	p.mu.Lock()
	addresses := strings.Split(p.address, ",")
	address := addresses[p.dials%len(addresses)]
	p.dials++
	if what == forMessages {
		p.cancelDial = cancel
	}
	p.mu.Unlock()
	conn, err := p.t.cfg.Dial(ctx, address)
	return conn, address, err
}

// connected notes that messages can be sent to the peer, unless another process of
// it has connected meanwhile.
func (p *peer) connected(c *connection, remote identity) bool {
	p.mu.Lock()
	if len(p.otherProcesses(c.process)) > 0 {
		p.mu.Unlock()
		return false
	}
	p.out, p.admitted, p.up = c, true, true
	p.remote, p.lastError, p.lastRefusal = remote, "", ""
	p.mu.Unlock()
	p.outbound.Reset()
	p.refusals.Reset()
	p.noteActivity()
	p.queue.open()
	p.log.Info("connected to peer", "address", c.conn.RemoteAddr())
	if p.t.cfg.onPeerUp != nil {
		p.t.cfg.onPeerUp(p.id)
	}
	return true
}

// disconnected notes that the connection has ended with err.
func (p *peer) disconnected(err error) {
	p.dropped.Add(uint64(p.queue.close()))
	p.lost.Add(1)
	p.mu.Lock()
	p.out = nil
	p.lastError = err.Error()
	p.mu.Unlock()
	if p.ctx.Err() == nil {
		warn(p.outbound, "connection to peer lost", err)
		p.reportDown(err)
	}
}

// failed notes that no connection could be made.
func (p *peer) failed(err error) {
	if p.ctx.Err() != nil || errors.Is(err, context.Canceled) { // by dialNow
		return
	}
	p.mu.Lock()
	p.lastError = err.Error()
	p.mu.Unlock()
	if r := new(Refusal); errors.As(err, &r) && r.By != raft.None {
		p.refused(r)
		return
	}
	if isNotYet(err) {
		return
	}
	warn(p.outbound, "cannot connect to peer", err)
	p.reportDown(err)
}

// refused notes that the peer does not want to talk to this node, or not yet.
func (p *peer) refused(r *Refusal) {
	if r.Code == CodeNotYet {
		return
	}
	p.mu.Lock()
	p.admitted = false
	isNew := r.Reason != p.lastRefusal
	p.lastRefusal = r.Reason
	p.mu.Unlock()
	warn(p.refusals, "refused by peer", r)
	if isNew && p.t.cfg.Handshake.OnRefused != nil {
		p.t.cfg.Handshake.OnRefused(r)
	}
}

// reportDown tells the receiver that the peer is unreachable, if err, the end of a connection,
// says so.
func (p *peer) reportDown(err error) {
	if !closedByPeer(err) {
		return
	}
	p.mu.Lock()
	wasUp := p.up
	p.up = false
	p.mu.Unlock()
	if r := p.t.receiver.Load(); wasUp && r != nil && r.unreachable != nil {
		r.unreachable(p.id)
	}
}

// closedByPeer tells whether err means that the other side has closed, reset or
// refused the connection, and not that this side gave up.
func closedByPeer(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNREFUSED} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// noteActivity notes that the peer has been heard of.
func (p *peer) noteActivity() { p.lastActive.Store(time.Now().UnixNano()) }
