package grpcserver

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// conn is one connection.
type conn struct {
	net.Conn
	server *Server
	values context.Context // knows the client
	begun  time.Time

	// Of the reader alone.
	in       *frameReader
	headers  *headerReader
	recent   *stream // the one that was begun last
	window0  int     // what the client may send on the connection, in bytes of DATA
	owed     int     // bytes for which it gets credit
	pings    pings
	running  atomic.Int64 // handlers
	heard    atomic.Int64 // when something came, in nanoseconds since begun: no clock may step back
	observer Observer     // nil: none
	observed observed
	answered atomic.Bool // headers or data were written since the last ping of the client

	mu       sync.Mutex
	streams  map[uint32]*stream
	last     uint32 // the highest stream of the client
	control  []byte // frames that wait for the writer, ahead of all others
	ready    []*stream
	starved  []*stream // ready, but for the window of the connection
	window   int64     // what the client takes on the connection
	initial  int64     // and on a new stream
	response response
	closing  bool // what there is to write is the last
	closed   bool
	draining drain
	wake     chan struct{} // wakes the writer; has room for one
	asleep   bool          // the writer waits for it
}

// drain is how far a graceful stop is.
type drain uint8

const (
	serving   drain = iota
	announced       // the client was told, and may have begun streams before it heard
	refusing        // new streams are refused
)

// maxControl bounds the answers to control frames that a client has not read, in bytes.
const maxControl = 64 << 10

func newConn(s *Server, nc net.Conn, info credentials.AuthInfo) *conn {
	c := &conn{
		Conn: nc, server: s, begun: time.Now(),
		values:  peer.NewContext(context.Background(), &peer.Peer{Addr: nc.RemoteAddr(), LocalAddr: nc.LocalAddr(), AuthInfo: info}),
		in:      newFrameReader(nc),
		window0: s.cfg.ConnWindow,
		streams: make(map[uint32]*stream),
		window:  initialWindow, initial: initialWindow,
		wake: make(chan struct{}, 1),
	}
	c.control = c.appendSettings(nil)
	c.headers = newHeaderReader(c)
	if s.cfg.Observe != nil {
		c.observer = s.cfg.Observe(info)
		c.in.waits = c.tellTaken
	}
	return c
}

// initialWindow is that of a connection, and of a stream until SETTINGS say something else.
const initialWindow = 65535

// serve serves a connection until it ends. A deadline for the handshake is set.
func (c *conn) serve() {
	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.handshake()
	if err == nil {
		_ = c.SetDeadline(time.Time{})
		stop := c.keepAlive()
		err = c.read()
		stop()
	}
	c.fail(err)
	writer.Wait()
	c.Close()
}

// handshake reads what a client of HTTP/2 says first.
func (c *conn) handshake() error {
	preface, err := c.in.peek(len(http2.ClientPreface))
	if err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return goAway{http2.ErrCodeProtocol, "no preface of HTTP/2"}
	}
	c.in.discard(len(http2.ClientPreface))
	f, err := c.in.next()
	switch {
	case err != nil:
		return err
	case f.kind != http2.FrameSettings || f.flags.Has(http2.FlagSettingsAck):
		return goAway{http2.ErrCodeProtocol, "the first frame is none of SETTINGS"}
	}
	return c.settings(f)
}

func (c *conn) appendSettings(b []byte) []byte {
	cfg := &c.server.cfg
	all := []http2.Setting{
		{ID: http2.SettingMaxConcurrentStreams, Val: uint32(cfg.MaxStreams)},
		{ID: http2.SettingInitialWindowSize, Val: uint32(cfg.StreamWindow)},
		{ID: http2.SettingMaxHeaderListSize, Val: uint32(cfg.MaxHeaderBytes)},
	}
	b = appendFrame(b, http2.FrameSettings, 0, 0, 6*len(all))
	for _, s := range all {
		b = append(b, byte(s.ID>>8), byte(s.ID), byte(s.Val>>24), byte(s.Val>>16), byte(s.Val>>8), byte(s.Val))
	}
	if more := cfg.ConnWindow - initialWindow; more > 0 {
		b = appendWindowUpdate(b, 0, more)
	}
	return b
}

// fail ends the connection for an error of the reader. A client that did something wrong is told.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if told, ok := err.(goAway); ok && !c.closed {
		c.control = appendGoAway(c.control, c.last, told)
		_ = c.SetDeadline(time.Now().Add(lastWords))
	} else {
		c.closed = true
		c.Close()
	}
	c.closing = true
	for _, st := range c.streams {
		c.remove(st)
	}
	c.wakeWriter()
	c.mu.Unlock()
	c.tellTaken()
}

// lastWords is how long a client has to take the reason why its connection is closed.
const lastWords = time.Second

// remove is the end of a stream, whoever ends it: nothing is written any more, and its handler learns that
// it is over. Caller holds mu.
func (c *conn) remove(st *stream) {
	st.settle(errCanceled, context.Canceled)
	st.out.drop()
	if c.streams[st.id] == st {
		delete(c.streams, st.id)
		c.ended(st)
		c.rest()
	}
}

// rest ends a connection that drains when the last stream has ended. Caller holds mu.
func (c *conn) rest() {
	if c.draining == refusing && len(c.streams) == 0 {
		c.closing = true
		c.wakeWriter()
	}
}

// resetStream ends a stream for what its client did wrong, or because it was refused.
func (c *conn) resetStream(id uint32, code http2.ErrCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := c.streams[id]; st != nil {
		c.remove(st)
	}
	c.tell(appendReset(c.control, id, code))
}

// tell has frames written ahead of all others. Caller holds mu.
func (c *conn) tell(control []byte) {
	if c.closing {
		return
	}
	c.control = control
	if len(c.control) > maxControl {
		c.closing, c.closed = true, true // it does not read what it asks for
		c.Close()
	}
	c.wakeWriter()
}

// schedule has the writer look at a stream. Caller holds mu.
func (c *conn) schedule(st *stream) {
	if !st.out.ready && st.out.waits() {
		st.out.ready = true
		c.ready = c.queue(c.ready, st)
		c.wakeWriter()
	}
}

// queue adds a stream to those that wait for the writer. If there are more than there may be streams, some
// have ended meanwhile, and leave. Caller holds mu.
func (c *conn) queue(all []*stream, st *stream) []*stream {
	if len(all) >= 2*c.server.cfg.MaxStreams {
		all = slices.DeleteFunc(all, func(st *stream) bool { return st.out.gone })
	}
	return append(all, st)
}

// wakeWriter wakes the writer if it sleeps. Caller holds mu.
func (c *conn) wakeWriter() {
	if c.asleep {
		c.asleep = false
		c.wake <- struct{}{}
	}
}

// drain takes no new streams, and ends the connection when those that there are have ended. The client
// hears of it first, and answers a ping when all streams are known that it began before.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining != serving {
		return
	}
	c.draining = announced
	c.tell(appendPing(appendGoAway(c.control, 1<<31-1, goAway{code: http2.ErrCodeNo}), 0, drainPing[:]))
	time.AfterFunc(drainWait, c.refuse)
}

// drainPing is the ping that shows that the client has heard of a drain. drainWait is how long that may
// take.
var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n'}

const drainWait = 5 * time.Second

// refuse refuses new streams.
func (c *conn) refuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining == announced {
		c.draining = refusing
		c.tell(appendGoAway(c.control, c.last, goAway{code: http2.ErrCodeNo}))
		c.rest()
	}
}
