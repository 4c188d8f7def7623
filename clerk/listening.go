package clerk

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// A Clerk hears who the members are over its streams: at their beginning, and when the members change.
// One that does nothing for long keeps a stream open for that, to any server, as soon as it has heard of
// members once. So it knows where the servers are when all of them were replaced meanwhile.

// While no server lets a stream be opened, the next one is tried after maxDeafness at most.
const (
	firstDeafness = 100 * time.Millisecond
	maxDeafness   = 15 * time.Second
)

// keep tells which servers are asked from now on. Links to others are dropped as soon as nothing waits
// for them: former members would become more and more.
func (n *network) keep(addresses []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept == nil && !n.closed {
		n.running.Go(n.listen)
	}
	n.kept = addresses
	for address, l := range n.links {
		former := !slices.Contains(addresses, address)
		if l.former.Store(former); former {
			l.wake.Set() // run drops it
		}
	}
}

// drop drops a link without a stream if its server is not asked any more and nothing waits for it.
func (n *network) drop(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !l.former.Load() {
		return false
	}
	if w := n.watches[l.address]; w != nil && !w.retire() {
		return false
	}
	delete(n.watches, l.address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue)+len(l.sent)+l.unary > 0 {
		return false
	}
	l.closed = true
	delete(n.links, l.address)
	return true
}

// streaming notes that a stream was opened. It returns what notes that it has ended.
func (n *network) streaming() (ended func()) {
	n.streams.Add(1)
	n.opened.Add(1)
	return func() { n.streams.Add(-1) }
}

// listen keeps a stream open as long as there are servers that let one be opened.
func (n *network) listen() {
	var pause time.Duration
	var opened int64
	for i := 0; awaitWork(n.ctx, n.deaf, nil); i++ {
		if now := n.opened.Load(); now != opened {
			pause, opened = 0, now
		}
		if n.streams.Load() > 0 || !sleep(n.ctx, pause) || n.streams.Load() > 0 {
			continue
		}
		pause = min(max(firstDeafness, 2*pause), maxDeafness)
		pause -= rand.N(pause / 4)
		n.mu.Lock()
		address := n.kept[i%len(n.kept)]
		n.mu.Unlock()
		if l, err := n.link(address); err == nil {
			l.wake.Set() // it opens a stream; if it fails, deaf is set
		}
	}
}

// sleep waits, and returns false if ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
