package clerk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"balsa.example/api"
)

// Bounds of one batch and of the queue. When the queue is full, callers wait until it has
// room. Bytes are those of keys and values, plus callOverhead for each call. A batch stays
// below 32 KiB, because gRPC allocates and clears a buffer of 1 MiB for a larger one.
const (
	maxBatchBytes = 31 << 10
	maxQueueCalls = 4 << 10
	maxQueueBytes = 4 << 20
	callOverhead  = 48 // at least the bytes of a request on the wire without key and value
)

// defaultMessageBytes is the largest batch that a server takes which does not say.
const defaultMessageBytes = 4 << 20

// connectPatience is how long a call waits for a stream. Then another server is asked, while the stream
// is still being opened: the server may be paused, or cut off, and nothing was sent to it.
const connectPatience = 400 * time.Millisecond

// enqueue puts the call in the queue. It waits until there is room.
func (l *link) enqueue(ctx context.Context, c *call, req *api.Request, timeout time.Duration) error {
	c.link, c.bytes = l, requestBytes(req)
	var late <-chan time.Time
	for start := time.Now(); ; {
		room, err := l.tryEnqueue(c, req, timeLeft(ctx, timeout), timeout-time.Since(start))
		if err != nil {
			return err
		}
		if room == nil {
			l.wake.Set()
			return nil
		}
		if late == nil {
			timer := time.NewTimer(timeout)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return errors.New("queue is full")
		}
	}
}

// tryEnqueue puts the call in the queue, and ends it when the time left is over. The server
// is told how long the caller waits. If there is no room, tryEnqueue returns a channel that
// is closed when there may be.
func (l *link) tryEnqueue(c *call, req *api.Request, callerWaits, left time.Duration) (room <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	if len(l.queue) > 0 && (len(l.queue) >= maxQueueCalls || l.queueBytes+c.bytes > maxQueueBytes) {
		if l.room == nil {
			l.room = make(chan struct{})
		}
		return l.room, nil
	}
	l.push(c, req, callerWaits)
	if c.until = (time.Time{}); !l.streams && left > connectPatience {
		c.until, left = time.Now().Add(left), connectPatience
	}
	c.timer.Reset(left)
	return nil, nil
}

// push adds a call to the queue, with its own copy of the request: each attempt has its own
// id. Caller holds mu.
func (l *link) push(c *call, req *api.Request, timeout time.Duration) {
	l.lastID++
	c.state = queued
	c.req = req.Copy()
	c.req.Id, c.req.TimeoutMs = l.lastID, uint32(max(1, timeout.Milliseconds()))
	l.queue = append(l.queue, c)
	l.queueBytes += c.bytes
}

// drain takes the next batch off the queue; its calls are sent from here on. It returns nil
// if no call is queued.
func (l *link) drain() *api.RequestBatch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stale {
		return nil
	}
	var batch api.RequestBatch
	bytes, reached := 0, l.net.reached.Load()
	fits := func(c *call) bool {
		return c.state != queued || len(batch.Requests) == 0 || bytes+c.bytes <= maxBatchBytes
	}
	taken := 0
	for ; taken < len(l.queue) && fits(l.queue[taken]); taken++ {
		c := l.queue[taken]
		l.queueBytes -= c.bytes
		if c.state != queued { // it has ended in the queue
			continue
		}
		if c.reached = reached; c.bytes+messageOverhead > l.mostBytes {
			c.state = over
			c.done <- result{answer: l.refuseTooLarge(c)}
			continue
		}
		c.state = sent
		l.sent[c.req.Id] = c
		batch.Requests = append(batch.Requests, c.req)
		bytes += c.bytes
	}
	l.dropQueued(taken)
	if len(batch.Requests) == 0 {
		return nil
	}
	return &batch
}

// messageOverhead is what a batch takes on the wire besides its one large request, at most, which requestBytes may have
// underestimated.
const messageOverhead = 256

// refuseTooLarge is the answer to a call that the server does not take: it would end the stream with all other calls
// of it. Caller holds mu.
func (l *link) refuseTooLarge(c *call) Answer {
	return Answer{Reached: c.reached, Reply: &api.Reply{
		Code:    api.Reply_TOO_LARGE,
		Message: fmt.Sprintf("request has %d bytes, and the server takes messages of at most %d", c.bytes, l.mostBytes),
	}}
}

// dropQueued drops the first n calls of the queue, and wakes the callers that wait for room.
// Caller holds mu.
func (l *link) dropQueued(n int) {
	kept := copy(l.queue, l.queue[n:])
	clear(l.queue[kept:])
	l.queue = l.queue[:kept]
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// deliver hands replies to the calls that wait for them. Calls that were given up are not in
// the map.
func (l *link) deliver(replies []*api.Reply) {
	revision := uint64(0)
	for _, r := range replies {
		revision = max(revision, r.Revision)
	}
	l.net.reach(revision)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range replies {
		c := l.sent[r.Id]
		if c == nil {
			continue
		}
		delete(l.sent, r.Id)
		was := c.state
		c.state = over
		switch {
		case was == sent && r.Code == api.Reply_UNAUTHENTICATED && l.net.login != nil:
			l.stale = true
			c.done <- result{err: notSent(errStale)}
		case was == sent: // after that c may be used for another call
			c.done <- result{answer: Answer{Reply: r, Reached: c.reached}}
		case c.take != nil:
			c.take(r)
		default:
			c.reply = r
		}
	}
}

// fail ends all calls. Those that were sent may have been executed: see lost.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams = false
	for _, c := range l.sent {
		was := c.state
		c.state = over
		if was == sent {
			c.done <- result{Answer{Reached: c.reached}, l.lost(err)}
		}
	}
	clear(l.sent)
	for _, c := range l.queue {
		if c.state == queued {
			c.state = over
			c.done <- result{err: notSent(err)}
		}
	}
	l.queueBytes = 0
	l.dropQueued(len(l.queue))
}
