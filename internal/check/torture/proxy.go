package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// direction is a way through a proxy.
type direction int

const (
	up   direction = iota // from who dialed to the target
	down                  // back
)

// weather is what a proxy does to all bytes that pass until it changes. The zero
// weather is fair. After a delay or between two trickles order is kept: TCP does so.
type weather struct {
	// hole swallows what goes in a direction, and that a side has closed; the
	// connection stays up. When it ends those that lost bytes are reset, as by a host
	// that has forgotten them: what came after the gap would not be what was sent.
	hole [2]bool
	// Each piece waits for delay and up to jitter more.
	delay, jitter time.Duration
	// trickle is how many bytes pass in a tick; 0 sets no bound.
	trickle int
}

const (
	tick        = 10 * time.Millisecond
	maxLinks    = 256
	dialTimeout = 2 * time.Second
	pieceSize   = 64 << 10
)

// counts is what a proxy has seen so far.
type counts struct {
	links     int   // up now
	damaged   int   // of those, with a byte that is not what was sent
	corrupted int   // bytes changed
	passed    int64 // bytes
	swallowed int64 // bytes
}

// proxy passes TCP connections on to a target, and does to them what networks do.
// It has at most maxLinks connections, and two goroutines and 128 KiB for each.
type proxy struct {
	target   string
	listener net.Listener
	ctx      context.Context // ends with close
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex // never held while something waits
	weather weather
	changed chan struct{} // closed and replaced when the weather changes
	news    chan struct{} // closed and replaced when counts change
	counts  counts
	armed   int // bytes still to corrupt, one in a link
	links   map[*link]struct{}
	rng     *rand.Rand
	closed  bool
}

// newProxy listens on a free port of the loopback interface. The seed decides on
// jitter and which bits flip.
func newProxy(target string, seed uint64) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a proxy of %s: %w", target, err)
	}
	p := &proxy{
		target:   target,
		listener: l,
		changed:  make(chan struct{}),
		news:     make(chan struct{}),
		links:    make(map[*link]struct{}),
		rng:      rand.New(rand.NewPCG(seed, 1)),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// set changes the weather, and resets the links that lost bytes to a hole now gone.
func (p *proxy) set(w weather) {
	p.mu.Lock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
	var doomed []*link
	for l := range p.links {
		if l.lost[up] && !w.hole[up] || l.lost[down] && !w.hole[down] {
			doomed = append(doomed, l)
		}
	}
	p.mu.Unlock()
	for _, l := range doomed {
		l.end(reset)
	}
}

// endAll ends every link that there is; new ones may follow.
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

// corrupt flips a bit in the next piece that goes up in each of n links, or takes that
// back if n is 0.
func (p *proxy) corrupt(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = n
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
		c, news := p.counts, p.news
		p.mu.Unlock()
		if wanted(c) {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("proxy of %s at %+v: %w", p.target, c, ctx.Err())
		}
	}
}

// close ends everything, and returns when nothing runs any more.
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
		default: // out of files, most likely: try again
			select {
			case <-time.After(tick):
			case <-p.ctx.Done():
				return
			}
		}
	}
}

// serve passes one connection on until it has ended. A target that is not there
// shows as a reset.
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
	p.tell()
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
	p.tell()
}

// tell wakes those who await; mu is held.
func (p *proxy) tell() {
	close(p.news)
	p.news = make(chan struct{})
}

// look returns the weather for a piece of n bytes, or for the news that a side has
// closed (0), and when to look again. What falls into a hole is counted here, together
// with the look, so that set cannot miss it.
func (p *proxy) look(l *link, d direction, n int) (weather, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.weather.hole[d] {
		l.lost[d] = true
		p.counts.swallowed += int64(n)
		p.tell()
	}
	w := p.weather
	w.hole[d] = w.hole[d] || l.lost[d] // nothing comes after what was lost: set is about to reset the link
	return w, p.changed
}

// pause is how long a piece waits; the first of what was read at once has the delay.
func (p *proxy) pause(w weather, first bool) (d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if first && w.delay+w.jitter > 0 {
		d = w.delay + time.Duration(p.rng.Int64N(int64(w.jitter)+1))
	}
	if w.trickle > 0 {
		d += tick
	}
	return d
}

// ship counts a piece that is about to pass, and corrupts it if that is asked for.
func (p *proxy) ship(l *link, d direction, piece []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.passed += int64(len(piece))
	if d == up && p.armed > 0 && !l.damaged {
		piece[p.rng.IntN(len(piece))] ^= 1 << p.rng.IntN(8)
		l.damaged = true
		p.armed--
		p.counts.corrupted++
		p.counts.damaged++
	}
	p.tell()
}
