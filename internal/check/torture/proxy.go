package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// direction is a direction of a connection through a proxy.
type direction int

const (
	up   direction = iota // from the side that dialed to the target
	down                  // back
)

// impairment is what a proxy does to all bytes that pass. The zero value does nothing. The
// order of bytes is always kept, as by TCP.
type impairment struct {
	// blackHole drops the bytes of a direction, and the close of a side; the connection
	// stays open. When it ends, connections that have lost bytes are reset, since the
	// stream would have a gap.
	blackHole [2]bool
	// Each piece waits for delay and up to jitter more.
	delay, jitter time.Duration
	// trickle is how many bytes pass in a tick; 0: no limit.
	trickle int
}

const (
	tick        = 10 * time.Millisecond
	maxLinks    = 256
	dialTimeout = 2 * time.Second
	pieceSize   = 64 << 10
)

// counts are the counters of a proxy.
type counts struct {
	links     int   // open now
	damaged   int   // of those, with a corrupted byte
	corrupted int   // bytes
	passed    int64 // bytes
	dropped   int64 // bytes
}

// proxy forwards TCP connections to a target, and impairs them as networks do.
// It has at most maxLinks connections, and two goroutines and 128 KiB for each.
type proxy struct {
	target   string
	listener net.Listener
	ctx      context.Context // ends with close
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu            sync.Mutex // never held during a wait
	impairment    impairment
	changed       chan struct{} // closed and replaced when the impairment changes
	countsChanged chan struct{} // closed and replaced when counts change
	counts        counts
	toCorrupt     int // bytes still to corrupt, one in a link
	links         map[*link]struct{}
	rng           *rand.Rand
	closed        bool
}

// newProxy listens on a free port of the loopback interface. The seed decides the jitter and
// which bits are flipped.
func newProxy(target string, seed uint64) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a proxy of %s: %w", target, err)
	}
	p := &proxy{
		target:        target,
		listener:      l,
		changed:       make(chan struct{}),
		countsChanged: make(chan struct{}),
		links:         make(map[*link]struct{}),
		rng:           rand.New(rand.NewPCG(seed, 1)),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// set sets the impairment, and resets the links that have lost bytes to a black hole that
// ends.
func (p *proxy) set(i impairment) {
	p.mu.Lock()
	p.impairment = i
	close(p.changed)
	p.changed = make(chan struct{})
	var lossy []*link
	for l := range p.links {
		if l.lost[up] && !i.blackHole[up] || l.lost[down] && !i.blackHole[down] {
			lossy = append(lossy, l)
		}
	}
	p.mu.Unlock()
	for _, l := range lossy {
		l.end(reset)
	}
}

// endAll ends all present links; new ones may follow.
func (p *proxy) endAll(how ending) {
	p.mu.Lock()
	var all []*link
	for l := range p.links {
		all = append(all, l)
	}
	p.mu.Unlock()
	for _, l := range all {
		l.end(how)
	}
}

// corrupt flips a bit in the next piece that goes up, in each of n links. 0 cancels that.
func (p *proxy) corrupt(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toCorrupt = n
}

// now returns the counts.
func (p *proxy) now() counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// await waits until the counts are as wanted.
func (p *proxy) await(ctx context.Context, wanted func(counts) bool) error {
	for {
		p.mu.Lock()
		c, changed := p.counts, p.countsChanged
		p.mu.Unlock()
		if wanted(c) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("proxy of %s at %+v: %w", p.target, c, ctx.Err())
		}
	}
}

// close ends all links. When it returns, no goroutine of the proxy runs any more.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.listener.Close()
	p.endAll(reset)
	p.running.Wait()
}

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		switch {
		case err == nil:
			p.running.Go(func() { p.serve(conn.(*net.TCPConn)) })
		case p.ctx.Err() != nil:
			return
		default: // out of file descriptors, most likely: try again
			select {
			case <-time.After(tick):
			case <-p.ctx.Done():
				return
			}
		}
	}
}

// serve forwards one connection until it has ended. If the target cannot be reached, the
// connection is reset.
func (p *proxy) serve(near *net.TCPConn) {
	l := &link{p: p, over: make(chan struct{})}
	l.ends[up] = near
	if !p.admit(l) {
		hangUp(near, reset)
		return
	}
	defer p.forget(l)
	dialing, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	far, err := new(net.Dialer).DialContext(dialing, "tcp", p.target)
	if err != nil {
		l.end(reset)
		return
	}
	if !l.join(far.(*net.TCPConn)) {
		return
	}
	var other sync.WaitGroup
	other.Go(func() { l.pump(down) })
	l.pump(up)
	other.Wait()
	l.end(cut)
}

func (p *proxy) admit(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.links) == maxLinks {
		return false
	}
	p.links[l] = struct{}{}
	p.counts.links++
	p.notifyCounts()
	return true
}

func (p *proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
	p.counts.links--
	if l.damaged {
		p.counts.damaged--
	}
	p.notifyCounts()
}

// notifyCounts wakes all calls of await. Caller holds mu.
func (p *proxy) notifyCounts() {
	close(p.countsChanged)
	p.countsChanged = make(chan struct{})
}

// impair returns the impairment for a piece of n bytes, or for the close of a side (n is 0), and
// a channel that is closed when the impairment changes. Dropped bytes are counted under the
// same lock, so that set cannot miss them.
func (p *proxy) impair(l *link, d direction, n int) (impairment, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.impairment.blackHole[d] {
		l.lost[d] = true
		p.counts.dropped += int64(n)
		p.notifyCounts()
	}
	i := p.impairment
	i.blackHole[d] = i.blackHole[d] || l.lost[d] // after a loss nothing may pass: set is about to reset the link
	return i, p.changed
}

// pause returns how long a piece waits. Of the pieces of one read only the first has the delay.
func (p *proxy) pause(i impairment, first bool) (d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if first && i.delay+i.jitter > 0 {
		d = i.delay + time.Duration(p.rng.Int64N(int64(i.jitter)+1))
	}
	if i.trickle > 0 {
		d += tick
	}
	return d
}

// count counts a piece that is about to pass, and corrupts it if corrupt has asked for that.
func (p *proxy) count(l *link, d direction, piece []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.passed += int64(len(piece))
	if d == up && p.toCorrupt > 0 && !l.damaged {
		piece[p.rng.IntN(len(piece))] ^= 1 << p.rng.IntN(8)
		l.damaged = true
		p.toCorrupt--
		p.counts.corrupted++
		p.counts.damaged++
	}
	p.notifyCounts()
}
