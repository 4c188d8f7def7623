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
)

// ClientLimits bounds what clients may take up of a server. A zero field stands for its
// default. A client is one connection; those of one source address (package fair) share
// what there is with the others, but only when it gets scarce.
type ClientLimits struct {
	// Connections to the client port, and streams of one connection. 4096 (less where the
	// process may have few descriptors) and 128. All streams: twice as many as connections,
	// or as those of one connection where that is more.
	Connections, Streams int
	// Requests in progress, and the bytes for which they and their replies count.
	// 131,072 and 256 MiB.
	Requests, RequestBytes int64
	// UnfinishedBytes of messages of which the rest has not come yet. 64 MiB.
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
	case l.UnfinishedBytes < 2*maxMessageBytes:
		return fmt.Errorf("unfinished messages need at least %d bytes, not %d", 2*maxMessageBytes, l.UnfinishedBytes)
	case l.Stall < clientCheck:
		return fmt.Errorf("a client may stall for at least %s, not %s", clientCheck, l.Stall)
	}
	return nil
}

const (
	// maxStreams is the most that a connection may be allowed to have.
	maxStreams = 1 << 16
	// maxClientRequests and maxClientBytes bound what one client has in progress.
	maxClientRequests = 16 << 10
	maxClientBytes    = 32 << 20
	// quietClient is how long a connection must have asked nothing before it gives way to
	// a new one from the same address.
	quietClient = 5 * time.Second
	// clientCheck is how often clients are looked at that may have stalled.
	clientCheck = time.Second
)

// clients are the connections to the client port, and what all of them have in progress.
type clients struct {
	limits   ClientLimits
	slots    *fair.Slots
	requests flow
	streams  flow
	// unfinished is the size of all messages of which a part has come.
	unfinished atomic.Int64

	lost clientLosses

	mu      sync.Mutex
	sources map[string]*source
	all     map[*client]struct{}
}

// clientLosses logs and counts what clients lose to the bounds.
type clientLosses struct {
	requests, streams                *ratelog.Logger // refused
	unfinished, stalled, connections *ratelog.Logger // connections closed
}

// lossPeriod is the least time between two lines of the log about one kind of loss.
const lossPeriod = 10 * time.Second

func newClientLosses(log *slog.Logger) clientLosses {
	kind := func() *ratelog.Logger { return ratelog.New(log, 1, lossPeriod) }
	return clientLosses{requests: kind(), streams: kind(), unfinished: kind(), stalled: kind(), connections: kind()}
}

// source is an address from which there are clients.
type source struct {
	clients           int // guarded by clients.mu
	requests, streams flow
	unfinished        atomic.Int64
}

func newClients(l ClientLimits, log *slog.Logger) *clients {
	l = l.WithDefaults()
	c := &clients{
		limits:   l,
		lost:     newClientLosses(log),
		slots:    fair.NewSlots(l.Connections, quietClient),
		requests: flow{max: bound{l.Requests, l.RequestBytes}},
		streams:  flow{max: bound{things: int64(max(2*l.Connections, l.Streams))}},
		sources:  make(map[string]*source),
		all:      make(map[*client]struct{}),
	}
	c.requests.even, c.streams.even = c.requests.max.over(int64(l.Connections)), c.streams.max.over(int64(l.Connections))
	c.slots.OnSurplus = func(newcomer string) {
		c.lost.connections.Warn("too many client connections: one was closed", "most", l.Connections, "newcomer", newcomer)
	}
	return c
}

// client is one connection.
type client struct {
	net.Conn
	clients           *clients
	slot              *fair.Slot // nil for one that takes none
	name              string     // of its source
	source            *source
	requests, streams account
	held              held // streams

	// unfinished is the size of its messages of which a part has come; progress is when
	// the last part came, in Unix nanoseconds.
	unfinished, progress atomic.Int64

	intake    atomic.Pointer[intake] // nil before the handshake of TLS is over
	exchanges map[*exchange]struct{} // guarded by clients.mu
	left      sync.Once
}

// join takes a new connection in.
func (c *clients) join(conn net.Conn, slot *fair.Slot, name string) *client {
	cl := &client{
		Conn: conn, clients: c, slot: slot, name: name,
		exchanges: make(map[*exchange]struct{}),
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
		client: &flow{max: bound{maxClientRequests, maxClientBytes}}, source: &cl.source.requests, server: &c.requests,
		refused: func() {
			c.lost.requests.Warn("too many requests in progress: some were refused", "client", name)
		},
	}
	cl.streams = account{
		client: &flow{max: bound{things: int64(c.limits.Streams)}}, source: &cl.source.streams, server: &c.streams,
		refused: func() { c.lost.streams.Warn("too many streams: some were refused", "client", name) },
	}
	cl.held.account = &cl.streams
	return cl
}

// leave forgets a connection that was closed.
func (cl *client) leave() {
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
	cl.left.Do(cl.leave)
	return err
}

// CloseWrite closes one direction of the connection, if it can be closed alone.
func (cl *client) CloseWrite() error { return fair.CloseWrite(cl.Conn) }

// hangUp closes the connection, and what is counted of it.
func (cl *client) hangUp() {
	if in := cl.intake.Load(); in != nil {
		in.settle()
	}
	if cl.Conn != nil {
		cl.Close()
	}
}

// grow takes note of bytes more, or fewer, in unfinished messages.
func (cl *client) grow(bytes int64) {
	if bytes > 0 {
		cl.progress.Store(time.Now().UnixNano())
	}
	cl.unfinished.Add(bytes)
	cl.source.unfinished.Add(bytes)
	cl.clients.unfinished.Add(bytes)
}

// shed closes the connection that has most in unfinished messages, of the source that
// has most, until all of them are within the bound.
func (c *clients) shed() {
	for c.unfinished.Load() > c.limits.UnfinishedBytes {
		c.mu.Lock()
		var worst *client
		for cl := range c.all {
			if worst == nil || heavier(cl, worst) {
				worst = cl
			}
		}
		c.mu.Unlock()
		if worst == nil || worst.unfinished.Load() == 0 {
			return
		}
		c.lost.unfinished.Warn("too many bytes of unfinished messages: a connection was closed",
			"most", c.limits.UnfinishedBytes, "client", worst.name)
		worst.hangUp()
	}
}

func heavier(a, b *client) bool {
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
		cl.stalled()
	}
}

// stalled closes the connection of a client that has.
func (cl *client) stalled() {
	cl.clients.lost.stalled.Warn("a client does not read, or finish a message: its connection was closed", "client", cl.name)
	cl.hangUp()
}

// stalledSince tells whether nothing has moved since a time that should have. Caller
// holds clients.mu.
func (cl *client) stalledSince(since int64) bool {
	if cl.unfinished.Load() > 0 && cl.progress.Load() < since || cl.held.stalledSince(time.Unix(0, since)) {
		return true
	}
	for x := range cl.exchanges {
		if began := x.sending.Load(); began != 0 && began < since {
			return true
		}
	}
	return false
}
