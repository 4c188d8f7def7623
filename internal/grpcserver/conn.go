package grpcserver

import (
	"context"
	"io"
	"net"
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

	// Of the reader alone. Windows are in bytes of DATA.
	in            *frameReader
	headers       *headerReader
	receiveWindow int // what the client may send on the connection
	receiveOwed   int // what it has sent, and gets credit for
	pings         pings
	shifts        shifts

	// Of all.
	observer Observer // nil: none
	observed observed
	running  atomic.Int64 // handlers
	heard    atomic.Int64 // when something came, in nanoseconds since begun: no clock may step back
	answered atomic.Bool  // headers or data were written since the last ping of the client

	mu          sync.Mutex
	streams     map[uint32]*stream
	most        int    // how many streams there were since it was made
	last        uint32 // the highest stream of the client
	control     []byte // frames that wait for the writer, ahead of all others
	ready       queue  // streams that have something to write
	starved     queue  // and those that need more of sendWindow
	turns       turns
	sendWindow  int64 // what the client takes on the connection
	initialSend int64 // and on a new stream
	response    response
	draining    drain
	closing     bool          // what there is to write is the last
	killed      bool          // nothing is written any more
	wake        chan struct{} // wakes the writer; has room for one
	asleep      bool          // the writer waits for it
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
		streams: make(map[uint32]*stream), wake: make(chan struct{}, 1),
		receiveWindow: s.cfg.ConnWindow, sendWindow: initialWindow, initialSend: initialWindow,
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
		c.endHandshake()
		stop := c.keepAlive()
		err = c.read()
		stop()
	}
	c.fail(err)
	writer.Wait()
	if _, told := err.(goAway); told {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // see hangUp
	}
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

// endHandshake clears the deadline, unless the connection is about to end.
func (c *conn) endHandshake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		_ = c.SetDeadline(time.Time{})
	}
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
	if told, ok := err.(goAway); ok && !c.closing {
		c.control = appendGoAway(c.control, c.last, told)
		_ = c.SetDeadline(time.Now().Add(lastWords))
	} else {
		c.kill()
	}
	c.closing = true
	for _, st := range c.streams {
		c.remove(st)
	}
	c.wakeWriter()
	c.mu.Unlock()
	c.tellTaken()
}

// kill closes the connection at once, whatever the client has read. Caller holds mu, under which nothing may
// wait: to close a connection of TLS is to write.
func (c *conn) kill() {
	if !c.killed {
		c.closing, c.killed = true, true
		c.server.work.Go(func() { c.Close() })
		c.wakeWriter()
	}
}

// hangUp ends what is written. A connection that is closed while something unread has come takes back what
// the client has not read, so the client has lastWords to close its side first.
func (c *conn) hangUp() {
	_ = c.SetReadDeadline(time.Now().Add(lastWords))
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		c.Close()
	}
}

// lastWords is how long a client has to take the reason why its connection is closed, lingerBytes how much of
// what it sends meanwhile is read.
const (
	lastWords   = time.Second
	lingerBytes = 256 << 10
)

// remove is the end of a stream, whoever ends it: nothing is written any more, and its handler learns that
// it is over. Caller holds mu.
func (c *conn) remove(st *stream) {
	st.settle(errCanceled, context.Canceled)
	st.out.drop()
	st.leave()
	c.endTurn(st)
	if c.streams[st.id] == st {
		delete(c.streams, st.id)
		if len(c.streams) == 0 && c.most > keptStreams {
			c.streams, c.most = make(map[uint32]*stream), 0 // a map keeps the memory that it has had
		}
		c.ended(st)
		c.rest()
	}
}

// keptStreams is how many streams a connection may have had at once that keeps the memory for so many.
const keptStreams = 64

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
		c.kill() // it does not read what it asks for
	}
	c.wakeWriter()
}

// schedule has the writer look at a stream. Caller holds mu.
func (c *conn) schedule(st *stream) {
	if st.place.in == nil && st.out.waits() {
		c.ready.add(st)
		c.wakeWriter()
	}
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
