package clients

import (
	"context"
	"sync/atomic"
	"time"
)

// limitUnfinished closes connections until all unfinished messages, and the streams without one,
// are within the bound: each time the one with the most bytes of the source with the most bytes.
func (p *Port) limitUnfinished() {
	for p.unfinished.Load()+p.unbegun.Load() > p.limits.UnfinishedBytes {
		p.mu.Lock()
		var largest *Client
		for cl := range p.all {
			if largest == nil || holdsMore(cl, largest) {
				largest = cl
			}
		}
		p.mu.Unlock()
		if largest == nil || largest.held() == 0 {
			return
		}
		p.surplus.unfinished.Warn("too many bytes of unfinished messages: a connection was closed",
			"most", p.limits.UnfinishedBytes, "client", largest.name)
		largest.disconnect()
	}
}

// holdsMore tells whether a is to be closed before b.
func holdsMore(a, b *Client) bool {
	if x, y := a.source.held(), b.source.held(); x != y {
		return x > y
	}
	return a.held() > b.held()
}

func (s *source) held() int64  { return s.unfinished.Load() + s.unbegun.Load() }
func (cl *Client) held() int64 { return cl.unfinished.Load() + cl.unbegun.Load() }

// WatchClients closes the connections of clients that have stalled, until ctx ends.
func (p *Port) WatchClients(ctx context.Context) {
	tick := time.NewTicker(clientCheck)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.closeStalled()
		case <-ctx.Done():
			return
		}
	}
}

// closeStalled closes the connections of clients that have stalled for Limits.Stall.
func (p *Port) closeStalled() {
	since := time.Now().Add(-p.limits.Stall).UnixNano()
	var stalled []*Client
	p.mu.Lock()
	for cl := range p.all {
		if cl.stalledSince(since) {
			stalled = append(stalled, cl)
		}
	}
	p.mu.Unlock()
	for _, cl := range stalled {
		cl.CloseStalled()
	}
}

// stalledSince tells whether the client has an unfinished message or unread replies, of which
// nothing has moved since a time in Unix nanoseconds. Caller holds Port.mu.
func (cl *Client) stalledSince(since int64) bool {
	if cl.unfinished.Load() > 0 && cl.progress.Load() < since || cl.open.stalledSince(time.Unix(0, since)) {
		return true
	}
	if in := cl.traffic.Load(); in != nil && in.writing.longerThan(since) {
		return true
	}
	for s := range cl.sending {
		if s.since.longerThan(since) {
			return true
		}
	}
	return false
}

// stay is since when something waits for a client, in Unix nanoseconds; 0: nothing does.
type stay struct{ since atomic.Int64 }

func (s *stay) begin() { s.since.Store(time.Now().UnixNano()) }
func (s *stay) end()   { s.since.Store(0) }

// longerThan tells whether something has waited since before a time.
func (s *stay) longerThan(since int64) bool {
	began := s.since.Load()
	return began != 0 && began < since
}
