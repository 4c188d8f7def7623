package native

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/internal/fair"
	"balsa.example/internal/ratelog"
	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// ClientLimits bounds what clients may take up of a server. A zero field stands for its
// default. A client is one connection. When room gets scarce, the clients of one source
// address (package fair) share it with those of the others.
type ClientLimits struct {
	// Connections to the client port, and streams of one connection. 4096 (less where the
	// process may have few descriptors) and 128. All streams: twice as many as connections,
	// or as those of one connection where that is more.
	Connections, Streams int
	// Requests in progress, and the bytes for which they and their replies count.
	// 131,072 and 256 MiB.
	Requests, RequestBytes int64
	// Watchers of all streams. 262,144; of one connection 16,384.
	Watchers int64
	// UnfinishedBytes bounds all messages of which a part has come, but not all. 64 MiB.
	UnfinishedBytes int64
	// Stall is how long a client may leave replies unread, or a message unfinished, before
	// it loses its connection. 30 s.
	Stall time.Duration
}

// WithDefaults fills in what was left out.
func (l ClientLimits) WithDefaults() ClientLimits {
	return ClientLimits{
		Connections:     cmp.Or(l.Connections, 4096),
		Streams:         cmp.Or(l.Streams, 128),
		Requests:        cmp.Or(l.Requests, 128<<10),
		RequestBytes:    cmp.Or(l.RequestBytes, 256<<20),
		Watchers:        cmp.Or(l.Watchers, int64(watch.DefaultLimits.Watchers)),
		UnfinishedBytes: cmp.Or(l.UnfinishedBytes, 64<<20),
		Stall:           cmp.Or(l.Stall, 30*time.Second),
	}
}

// Check refuses bounds with which no client could be served.
func (l ClientLimits) Check() error {
	switch {
	case l.Connections < 1:
		return fmt.Errorf("there must be room for 1 client connection, not %d", l.Connections)
	case l.Streams < 1 || l.Streams > maxStreams:
		return fmt.Errorf("a client connection may have 1 to %d streams, not %d", maxStreams, l.Streams)
	case l.Requests < 1:
		return fmt.Errorf("there must be room for 1 request in progress, not %d", l.Requests)
	case l.RequestBytes < 2*maxMessageBytes:
		return fmt.Errorf("requests in progress need at least %d bytes, not %d", 2*maxMessageBytes, l.RequestBytes)
	case l.Watchers < 1:
		return fmt.Errorf("there must be room for 1 watcher, not %d", l.Watchers)
	case l.UnfinishedBytes < 2*maxMessageBytes:
		return fmt.Errorf("unfinished messages need at least %d bytes, not %d", 2*maxMessageBytes, l.UnfinishedBytes)
	case l.Stall < clientCheck:
		return fmt.Errorf("a client may stall for at least %s, not %s", clientCheck, l.Stall)
	}
	return nil
}

const (
	// maxRequestBytes and maxTxnOps are the most that limits of requests may be: a message has to
	// hold the largest one, and decoding bounds the parts of one.
	maxRequestBytes = 3 << 20
	maxTxnOps       = 1 << 10
)

// CheckLimits refuses limits with which the largest request could not arrive.
func CheckLimits(l kv.Limits) error {
	switch {
	case l.MaxKeyBytes < 0 || l.MaxKeyBytes > maxRequestBytes:
		return fmt.Errorf("a key may have 1 to %d bytes, not %d", maxRequestBytes, l.MaxKeyBytes)
	case l.MaxValueBytes < 0 || l.MaxValueBytes > maxRequestBytes:
		return fmt.Errorf("a request may have 1 to %d bytes, not %d", maxRequestBytes, l.MaxValueBytes)
	case l.MaxTxnOps < 0 || l.MaxTxnOps > maxTxnOps:
		return fmt.Errorf("a transaction may have 1 to %d operations in a list, not %d", maxTxnOps, l.MaxTxnOps)
	}
	return nil
}

const (
	// maxStreams is the most that a connection may be allowed to have.
	maxStreams = 1 << 16
	// maxClientRequests and maxClientBytes bound what one client has in progress.
	maxClientRequests = 16 << 10
	maxClientBytes    = 32 << 20
	// quietClient is how long a connection must have sent no request before it is closed in
	// favour of a new one from the same address.
	quietClient = 5 * time.Second
	// clientCheck is how often the server looks for clients that have stalled.
	clientCheck = time.Second
)

// clients are the connections to the client port, and the limiters that they share.
type clients struct {
	limits   ClientLimits
	slots    *fair.Slots
	requests limiter
	streams  limiter
	watchers limiter
	// unfinished is the size in bytes of all unfinished messages.
	unfinished atomic.Int64

	surplus surplus

	mu      sync.Mutex
	sources map[string]*source
	all     map[*client]struct{}
}

// surplus logs and counts what was refused or closed because it was over a bound.
type surplus struct {
	requests, streams, watchers      *ratelog.Logger // those refused
	unfinished, stalled, connections *ratelog.Logger // connections closed, and why
}

// surplusPeriod is the least time between two lines of the log about one kind of surplus.
const surplusPeriod = 10 * time.Second

func newSurplus(log *slog.Logger) surplus {
	kind := func() *ratelog.Logger { return ratelog.New(log, 1, surplusPeriod) }
	return surplus{requests: kind(), streams: kind(), watchers: kind(), unfinished: kind(), stalled: kind(), connections: kind()}
}

// source is an address from which clients are connected.
type source struct {
	clients                     int // guarded by clients.mu
	requests, streams, watchers limiter
	unfinished                  atomic.Int64
}

func newClients(l ClientLimits, log *slog.Logger) *clients {
	l = l.WithDefaults()
	c := &clients{
		limits:   l,
		surplus:  newSurplus(log),
		slots:    fair.NewSlots(l.Connections, quietClient),
		requests: limiter{max: bound{l.Requests, l.RequestBytes}},
		streams:  limiter{max: bound{items: int64(max(2*l.Connections, l.Streams))}},
		watchers: limiter{max: bound{items: l.Watchers}},
		sources:  make(map[string]*source),
		all:      make(map[*client]struct{}),
	}
	for _, l := range []*limiter{&c.requests, &c.streams, &c.watchers} {
		l.even = l.max.over(int64(c.limits.Connections))
	}
	c.slots.OnSurplus = func(newcomer string) {
		c.surplus.connections.Warn("too many client connections: one was closed", "most", l.Connections, "newcomer", newcomer)
	}
	return c
}

// client is one connection.
type client struct {
	net.Conn
	clients                     *clients
	slot                        *fair.Slot // nil if it was not accepted by a listener of clients
	name                        string     // the name of its source
	source                      *source
	requests, streams, watchers account
	open                        openStreams

	// unfinished is the size in bytes of its unfinished messages. progress is when the last
	// part of one came, in Unix nanoseconds.
	unfinished, progress atomic.Int64

	tracked atomic.Pointer[trackedConn] // nil until the handshake of TLS is over
	sending map[*atomic.Int64]struct{}  // of its streams: when they have begun to send; guarded by clients.mu
	removed sync.Once
}

// add makes a client of a new connection.
func (c *clients) add(conn net.Conn, slot *fair.Slot, name string) *client {
	cl := &client{
		Conn: conn, clients: c, slot: slot, name: name,
		sending: make(map[*atomic.Int64]struct{}),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	cl.source = c.sources[name]
	if cl.source == nil {
		cl.source = new(source)
		c.sources[name] = cl.source
	}
	cl.source.clients++
	c.all[cl] = struct{}{}
	cl.requests = account{
		client: &limiter{max: bound{maxClientRequests, maxClientBytes}}, source: &cl.source.requests, server: &c.requests,
		refused: func() {
			c.surplus.requests.Warn("too many requests in progress: some were refused", "client", name)
		},
	}
	cl.streams = account{
		client: &limiter{max: bound{items: int64(c.limits.Streams)}}, source: &cl.source.streams, server: &c.streams,
		refused: func() { c.surplus.streams.Warn("too many streams: some were refused", "client", name) },
	}
	cl.watchers = account{
		client: &limiter{max: bound{items: int64(watch.DefaultLimits.StreamWatchers)}}, source: &cl.source.watchers, server: &c.watchers,
		refused: func() { c.surplus.watchers.Warn("too many watchers: some were refused", "client", name) },
	}
	cl.open.account = &cl.streams
	return cl
}

// remove forgets a connection that was closed.
func (cl *client) remove() {
	c := cl.clients
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, cl)
	if cl.source.clients--; cl.source.clients == 0 {
		delete(c.sources, cl.name)
	}
}

// Close implements net.Conn.
func (cl *client) Close() error {
	err := cl.Conn.Close()
	cl.removed.Do(cl.remove)
	return err
}

// CloseWrite closes one direction of the connection, if it can be closed alone.
func (cl *client) CloseWrite() error { return fair.CloseWrite(cl.Conn) }

// disconnect closes the connection. Its unfinished messages and streams count no more, even
// before gRPC notices.
func (cl *client) disconnect() {
	if in := cl.tracked.Load(); in != nil {
		in.uncount()
	}
	if cl.Conn != nil {
		cl.Close()
	}
}

// addUnfinished adds to the bytes of unfinished messages, or takes from them.
func (cl *client) addUnfinished(bytes int64) {
	if bytes > 0 {
		cl.progress.Store(time.Now().UnixNano())
	}
	cl.unfinished.Add(bytes)
	cl.source.unfinished.Add(bytes)
	cl.clients.unfinished.Add(bytes)
}

// limitUnfinished closes connections until all unfinished messages are within the bound: each
// time the one with the most bytes of the source with the most bytes.
func (c *clients) limitUnfinished() {
	for c.unfinished.Load() > c.limits.UnfinishedBytes {
		c.mu.Lock()
		var largest *client
		for cl := range c.all {
			if largest == nil || holdsMore(cl, largest) {
				largest = cl
			}
		}
		c.mu.Unlock()
		if largest == nil || largest.unfinished.Load() == 0 {
			return
		}
		c.surplus.unfinished.Warn("too many bytes of unfinished messages: a connection was closed",
			"most", c.limits.UnfinishedBytes, "client", largest.name)
		largest.disconnect()
	}
}

// holdsMore tells whether a is to be closed before b.
func holdsMore(a, b *client) bool {
	if x, y := a.source.unfinished.Load(), b.source.unfinished.Load(); x != y {
		return x > y
	}
	return a.unfinished.Load() > b.unfinished.Load()
}

// watch closes the connections of clients that have stalled, until ctx ends.
func (c *clients) watch(ctx context.Context) {
	tick := time.NewTicker(clientCheck)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.closeStalled()
		case <-ctx.Done():
			return
		}
	}
}

// closeStalled closes the connections of clients that have stalled for ClientLimits.Stall.
func (c *clients) closeStalled() {
	since := time.Now().Add(-c.limits.Stall).UnixNano()
	var stalled []*client
	c.mu.Lock()
	for cl := range c.all {
		if cl.stalledSince(since) {
			stalled = append(stalled, cl)
		}
	}
	c.mu.Unlock()
	for _, cl := range stalled {
		cl.closeStalled()
	}
}

// closeStalled closes the connection of a client that has stalled, and says so.
func (cl *client) closeStalled() {
	cl.clients.surplus.stalled.Warn("a client does not read, or finish a message: its connection was closed", "client", cl.name)
	cl.disconnect()
}

// stalledSince tells whether the client has an unfinished message or unread replies, of which
// nothing has moved since a time in Unix nanoseconds. Caller holds clients.mu.
func (cl *client) stalledSince(since int64) bool {
	if cl.unfinished.Load() > 0 && cl.progress.Load() < since || cl.open.stalledSince(time.Unix(0, since)) {
		return true
	}
	for sending := range cl.sending {
		if began := sending.Load(); began != 0 && began < since {
			return true
		}
	}
	return false
}
