package clients

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/internal/fair"
	"balsa.example/kv/watch"
)

// source is an address from which clients are connected.
type source struct {
	clients                     int // guarded by Port.mu
	requests, streams, watchers Limiter
	unfinished, unbegun         atomic.Int64
}

// Client is one connection. What it has in progress counts in Requests, its watchers count in
// Watchers.
type Client struct {
	net.Conn
	port               *Port
	slot               *fair.Slot // nil if it was not accepted by a listener of the Port
	name               string     // the name of its source
	source             *source
	Requests, Watchers Account
	streams            Account
	open               openStreams
	turn               chan struct{} // who holds it looks for room for a call
	plain              bool          // it has no TLS

	// unfinished is the size in bytes of its unfinished messages, unbegun what its streams
	// without a message count for. progress is when the last part of a message came, in Unix
	// nanoseconds.
	unfinished, unbegun, progress atomic.Int64
	waiting                       atomic.Int64 // bytes of its calls that wait for room

	traffic atomic.Pointer[traffic] // nil until the handshake of TLS is over
	sending map[*sender]struct{}    // of its streams; guarded by Port.mu
	removed sync.Once
	left    atomic.Bool // gRPC has nothing to do with it

	// face counts it, as soon as it is known what it speaks; nil before, and when it has been removed.
	// Both are guarded by Port.mu.
	face *faceCount
	gone bool
}

// add makes a Client of a new connection.
func (p *Port) add(conn net.Conn, slot *fair.Slot, name string) *Client {
	cl := &Client{
		Conn: conn, port: p, slot: slot, name: name,
		turn: make(chan struct{}, 1), sending: make(map[*sender]struct{}),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	cl.source = p.sources[name]
	if cl.source == nil {
		cl.source = new(source)
		p.sources[name] = cl.source
	}
	cl.source.clients++
	p.all[cl] = struct{}{}
	cl.Requests = Account{
		Client: &Limiter{Max: Bound{MaxClientRequests, p.limits.clientBytes()}}, Source: &cl.source.requests, Server: &p.requests,
		Refused: func() {
			p.surplus.requests.Warn("too many requests in progress: some were refused", "client", name)
		},
	}
	cl.streams = Account{
		Client: &Limiter{Max: Bound{int64(p.limits.Streams), int64(p.limits.Streams) * StreamWindow}}, Source: &cl.source.streams, Server: &p.streams,
		Refused: func() { p.surplus.streams.Warn("too many streams: some were refused", "client", name) },
	}
	cl.Watchers = Account{
		Client: &Limiter{Max: Bound{Items: int64(watch.DefaultLimits.StreamWatchers)}}, Source: &cl.source.watchers, Server: &p.watchers,
		Refused: func() { p.surplus.watchers.Warn("too many watchers: some were refused", "client", name) },
	}
	cl.open.client = cl
	return cl
}

// Alone returns a Client without a connection: that of a handler which is called without gRPC.
func (p *Port) Alone(address string) *Client { return p.add(nil, nil, address) }

// remove forgets a connection that was closed.
func (cl *Client) remove() {
	p := cl.port
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, cl)
	if cl.gone = true; cl.face != nil {
		cl.face.open--
		cl.face = nil
	}
	if cl.source.clients--; cl.source.clients == 0 {
		delete(p.sources, cl.name)
	}
}

// Close implements net.Conn.
func (cl *Client) Close() error {
	err := cl.Conn.Close()
	cl.removed.Do(cl.remove)
	return err
}

// SetDeadline implements net.Conn. The deadline of a handshake may be cleared when the connection has left;
// by then it may have another one.
func (cl *Client) SetDeadline(t time.Time) error {
	if cl.left.Load() {
		return nil
	}
	return cl.Conn.SetDeadline(t)
}

// Plain tells whether its connection has no TLS.
func (cl *Client) Plain() bool { return cl.plain }

// CloseWrite closes one direction of the connection, if it can be closed alone.
func (cl *Client) CloseWrite() error { return fair.CloseWrite(cl.Conn) }

// disconnect closes the connection. Its unfinished messages and streams count no more, even
// before the server of gRPC notices.
func (cl *Client) disconnect() {
	if in := cl.traffic.Load(); in != nil {
		in.uncount()
	}
	if cl.Conn != nil {
		cl.Close()
	}
}

// CloseStalled closes the connection of a client that has stalled, and says so.
func (cl *Client) CloseStalled() {
	cl.port.surplus.stalled.Warn("a client does not read, or finish a message: its connection was closed", "client", cl.name)
	cl.disconnect()
}

// addUnfinished adds to the bytes of unfinished messages, or takes from them.
func (cl *Client) addUnfinished(bytes int64) {
	if bytes > 0 {
		cl.progress.Store(time.Now().UnixNano())
	}
	cl.unfinished.Add(bytes)
	cl.source.unfinished.Add(bytes)
	cl.port.unfinished.Add(bytes)
}

// addUnbegun adds to what streams without a message count for, or takes from it.
func (cl *Client) addUnbegun(bytes int64) {
	if bytes != 0 {
		cl.unbegun.Add(bytes)
		cl.source.unbegun.Add(bytes)
		cl.port.unbegun.Add(bytes)
	}
}
