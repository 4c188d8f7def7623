package clerk

import (
	"context"
	"errors"
	"time"

	"balsa.example/api"
)

var errNoAnswer = errors.New("no answer in time")

// call is one request under way.
type call struct {
	link    *link
	req     *api.Request
	bytes   int
	reached uint64      // the store's revision when the call was sent, as far as known; guarded by link.mu
	state   callState   // guarded by link.mu
	until   time.Time   // when its time is up; zero: when the timer fires. Guarded by link.mu
	done    chan result // capacity 1, so that to end the call never blocks
	timer   *time.Timer // runs expire

	// Of a late call, guarded by link.mu:
	reply *api.Reply       // if it came before Then was called
	take  func(*api.Reply) // the argument of Then
}

type callState uint8

const (
	queued callState = iota
	sent
	late // its time is up, but its reply is still wanted
	over // answered, failed, or given up by its caller
)

type result struct {
	answer Answer
	err    error
}

func newCall() *call {
	c := &call{done: make(chan result, 1)}
	c.timer = time.AfterFunc(time.Hour, c.expire)
	c.timer.Stop()
	return c
}

// call sends a request over the link and waits for its reply.
func (l *link) call(ctx context.Context, req *api.Request, timeout time.Duration) (Answer, error) {
	c := l.net.calls.Get().(*call)
	if err := l.enqueue(ctx, c, req, timeout); err != nil {
		l.net.calls.Put(c)
		return Answer{}, notSent(err)
	}
	r, free := l.wait(ctx, c)
	// A call is used again only if nothing refers to it. One that was given up may still be
	// in the queue, and if the timer cannot be stopped, expire is about to run.
	if c.timer.Stop() && free {
		c.req = nil
		l.net.calls.Put(c)
	}
	return r.answer, r.err
}

// wait waits for the end of a call, and tells whether c may be used for another one.
func (l *link) wait(ctx context.Context, c *call) (r result, free bool) {
	if ctx.Done() == nil { // a select would cost more
		return <-c.done, true
	}
	select {
	case r := <-c.done:
		return r, true
	case <-ctx.Done():
		return l.abandon(c, ctx.Err())
	}
}

// expire ends the call because its time is up, or since there is no stream yet that it could be sent on.
func (c *call) expire() {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := time.Until(c.until)
	switch {
	case c.state == queued:
		c.state = over
		c.done <- result{err: notSent(errNoAnswer)}
	case c.state == sent && rest > 0:
		c.timer.Reset(rest)
	case c.state == sent:
		c.state = late
		c.done <- result{Answer{Reached: c.reached, Pending: c}, l.lost(errNoAnswer)}
	}
}

// lost returns the error of a call that was sent and gets no reply. It may have been
// executed, unless the server is in no cluster. Caller holds mu.
func (l *link) lost(err error) error {
	if l.noCluster {
		return notSent(err)
	}
	return err
}

// Then implements PendingReply.
func (c *call) Then(take func(*api.Reply)) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.take = take
	if c.reply != nil {
		take(c.reply)
	}
}

// Stop implements PendingReply.
func (c *call) Stop() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.state == late {
		delete(c.link.sent, c.req.Id)
		c.state = over
	}
}

// timeLeft returns how long a caller will wait for an answer.
func timeLeft(ctx context.Context, timeout time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(timeout, time.Until(deadline))
	}
	return timeout
}

// abandon ends a call whose caller does not wait any more.
func (l *link) abandon(c *call, why error) (r result, free bool) {
	l.mu.Lock()
	state, reached := c.state, c.reached
	switch state {
	case queued:
		c.state = over
	case sent:
		c.state = over
		delete(l.sent, c.req.Id)
		why = l.lost(why)
	}
	l.mu.Unlock()
	switch state {
	case queued:
		return result{err: notSent(why)}, false
	case sent:
		return result{Answer{Reached: reached}, why}, true
	default: // it has ended meanwhile
		return <-c.done, true
	}
}
