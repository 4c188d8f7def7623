package grpcserver

import (
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// pings are those of a client.
type pings struct {
	last    time.Time
	strikes int
	holding bool    // a ping waits for its answer until release; conn.mu guards it
	held    [8]byte // what it says
	release *time.Timer
}

// heldPing is how long the answer waits to a ping that follows a response. Clients of grpc-go and of Java measure
// the network with a ping for each response, one at a time: for a client that makes one call after the other these
// pings and their answers were half of the writes, and half of what wakes the two. A ping of a connection where
// nothing was written, which asks whether the server lives, is answered at once.
const heldPing = 5 * time.Millisecond

// maxStrikes is how many pings may come too early, as in grpc-go.
const maxStrikes = 2

// errTooManyPings has the text by which clients know that they have to ping less often.
var errTooManyPings = goAway{http2.ErrCodeEnhanceYourCalm, "too_many_pings"}

// ping answers a ping.
func (c *conn) ping(f frame) error {
	switch {
	case f.stream != 0:
		return goAway{http2.ErrCodeProtocol, "PING on a stream"}
	case len(f.payload) != 8:
		return goAway{http2.ErrCodeFrameSize, "PING of another size"}
	case f.flags.Has(http2.FlagPingAck):
		if [8]byte(f.payload) == drainPing {
			c.refuse()
		}
		return nil
	}
	answered := c.answered.Swap(false) // before the answer, behind which there may be data soon
	c.mu.Lock()
	c.pong(f.payload, answered)
	c.mu.Unlock()

	now := time.Now()
	defer func() { c.pings.last = now }()
	switch {
	case answered:
		c.pings.strikes = 0
	case now.Sub(c.pings.last) < c.server.cfg.MinPing:
		if c.pings.strikes++; c.pings.strikes > maxStrikes {
			return errTooManyPings
		}
	}
	return nil
}

// pong answers a ping, or holds the answer if none is held yet. Caller holds mu.
func (c *conn) pong(payload []byte, hold bool) {
	p := &c.pings
	if !hold || p.holding {
		c.tell(appendPing(c.appendHeld(c.control), http2.FlagPingAck, payload))
		return
	}
	p.holding, p.held = true, [8]byte(payload)
	if p.release == nil {
		p.release = time.AfterFunc(heldPing, c.releasePong)
	} else {
		p.release.Reset(heldPing)
	}
}

func (c *conn) releasePong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pings.holding {
		c.tell(c.appendHeld(c.control))
	}
}

// appendHeld appends the answer that is held, if there is one. Caller holds mu.
func (c *conn) appendHeld(b []byte) []byte {
	if !c.pings.holding {
		return b
	}
	c.pings.holding = false
	return appendPing(b, http2.FlagPingAck, c.pings.held[:])
}

// keepAlive pings a silent client, and closes the connection if it stays silent.
func (c *conn) keepAlive() (stop func()) {
	k := &keepAlive{conn: c}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(c.server.cfg.Idle, k.look)
	return k.stop
}

type keepAlive struct {
	conn *conn

	mu      sync.Mutex
	timer   *time.Timer
	pinged  time.Time // when it has pinged last
	stopped bool
}

func (k *keepAlive) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	k.timer.Stop()
}

func (k *keepAlive) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	cfg := &k.conn.server.cfg
	heard := k.conn.begun.Add(time.Duration(k.conn.heard.Load()))
	silent := time.Since(heard)
	switch {
	case heard.Before(k.pinged):
		if rest := cfg.PingTimeout - time.Since(k.pinged); rest > 0 {
			k.timer.Reset(rest)
		} else {
			k.conn.mu.Lock()
			k.conn.kill()
			k.conn.mu.Unlock()
		}
	case silent < cfg.Idle:
		k.timer.Reset(cfg.Idle - silent)
	default:
		k.pinged = time.Now()
		k.conn.mu.Lock()
		k.conn.tell(appendPing(k.conn.control, 0, make([]byte, 8)))
		k.conn.mu.Unlock()
		k.timer.Reset(cfg.PingTimeout)
	}
}
