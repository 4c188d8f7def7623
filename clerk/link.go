package clerk

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"balsa.example/api"
	"balsa.example/internal/wake"
)

// Bounds of one batch, and of what may wait for the next ones: beyond the latter
// callers wait themselves. Bytes are those of keys and values plus callOverhead. For
// batches beyond 32 KiB gRPC takes, and clears, a buffer of 1 MiB.
const (
	maxBatchBytes = 31 << 10
	maxQueueCalls = 4 << 10
	maxQueueBytes = 4 << 20
	callOverhead  = 48 // at least what a request takes on the wire besides key and value
)

var errNoAnswer = errors.New("no answer in time")

// link is the way to one server: a queue of calls, and a stream that carries them
// while one is up. Two goroutines serve all calls: run sends, receive hands out replies.
//
// A call is queued, then sent, then over; if its time is up while it is sent it is late in
// between. Only while it is sent or late is it in the map; when the stream breaks those are
// lost, and the queued ones certainly never left.
type link struct {
	net    *network
	conn   *grpc.ClientConn
	hands  *handshake
	watch  *watch
	node   atomic.Uint64 // as the server's last Hello said
	wake   wake.Signal   // the queue may have become non-empty
	asking atomic.Bool   // see ask

	mu         sync.Mutex
	queue      []*call // dead ones included, until they are drained
	queueBytes int
	sent       map[uint64]*call // late ones too
	unborn     bool             // the stream is to a server without a cluster, which executes nothing on it
	others     int              // answers awaited besides those to calls
	lastID     uint64
	room       chan struct{} // closed when the queue has shrunk; nil if nobody waits
	closed     bool
}

// call is one request on its way, and who waits for its reply.
type call struct {
	link    *link
	req     *api.Request
	bytes   int
	reached uint64      // when it was sent; guarded by link.mu
	state   callState   // guarded by link.mu
	done    chan result // capacity 1: whoever ends the call never waits
	timer   *time.Timer // runs expire

	// Of a late call, guarded by link.mu:
	reply *api.Reply       // what came before Then
	take  func(*api.Reply) // what Then was given
}

type callState uint8

const (
	queued callState = iota
	sent
	late // given up for lack of time, but its reply is still wanted
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

// newLink returns a link without its conn.
func newLink(n *network) *link {
	l := &link{net: n, wake: wake.New(), sent: make(map[uint64]*call)}
	l.watch = newWatch(l.unanswered, l.ask)
	return l
}

// call sends a request over the link and waits for its reply.
func (l *link) call(ctx context.Context, req *api.Request, timeout time.Duration) (Answer, error) {
	c := l.net.calls.Get().(*call)
	if err := l.enqueue(ctx, c, req, timeout); err != nil {
		l.net.calls.Put(c)
		return Answer{}, notSent(err)
	}
	r, free := l.wait(ctx, c)
	// A call is used again only if nothing is left of it: one that was given up may still
	// be in the queue, and if the timer cannot be stopped expire is about to look at it.
	if c.timer.Stop() && free {
		c.req = nil
		l.net.calls.Put(c)
	}
	return r.answer, r.err
}

// wait waits for the end of a call, and tells whether c is free to be used for another.
func (l *link) wait(ctx context.Context, c *call) (r result, free bool) {
	if ctx.Done() == nil { // no need for a select, which costs more
		return <-c.done, true
	}
	select {
	case r := <-c.done:
		return r, true
	case <-ctx.Done():
		return l.abandon(c, ctx.Err())
	}
}

// expire ends the call because its time is up.
func (c *call) expire() {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	switch c.state {
	case queued:
		c.state = over
		c.done <- result{err: notSent(errNoAnswer)}
	case sent:
		c.state = late
		c.done <- result{Answer{Reached: c.reached, Later: c}, l.lost(errNoAnswer)}
	}
}

// lost is why a call that was sent gets no reply: its fate is unknown, unless nobody was
// there to execute it. Caller holds mu.
func (l *link) lost(err error) error {
	if l.unborn {
		return notSent(err)
	}
	return err
}

// Then implements Later.
func (c *call) Then(take func(*api.Reply)) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.take = take
	if c.reply != nil {
		take(c.reply)
	}
}

// Stop implements Later.
func (c *call) Stop() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.state == late {
		delete(c.link.sent, c.req.Id)
		c.state = over
	}
}

// patienceOf returns how long a caller will wait for an answer.
func patienceOf(ctx context.Context, timeout time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(timeout, time.Until(deadline))
	}
	return timeout
}

// enqueue puts the call in the queue, and waits for room if need be.
func (l *link) enqueue(ctx context.Context, c *call, req *api.Request, timeout time.Duration) error {
	c.link, c.bytes = l, len(req.Key)+len(req.Value)+callOverhead
	var late <-chan time.Time
	for start := time.Now(); ; {
		room, err := l.tryEnqueue(c, req, patienceOf(ctx, timeout), timeout-time.Since(start))
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

// tryEnqueue puts the call in the queue, where it stays for the time left at most. If
// there is no room it returns a channel that is closed when there may be.
func (l *link) tryEnqueue(c *call, req *api.Request, patience, left time.Duration) (room <-chan struct{}, err error) {
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
	l.push(c, req, patience)
	c.timer.Reset(left)
	return nil, nil
}

// push adds a call to the queue, with a request of its own: ids differ from one
// attempt to the next. Caller holds mu.
func (l *link) push(c *call, req *api.Request, timeout time.Duration) {
	l.lastID++
	c.state = queued
	c.req = copyOf(req)
	c.req.Id, c.req.TimeoutMs = l.lastID, uint32(max(1, timeout.Milliseconds()))
	l.queue = append(l.queue, c)
	l.queueBytes += c.bytes
}

// abandon ends a call that its caller does not want to wait for any more.
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
	default: // ended at this very moment
		return <-c.done, true
	}
}

// drain takes the next batch off the queue, and counts it as sent from here on. It is
// nil if nothing waits.
func (l *link) drain() *api.RequestBatch {
	l.mu.Lock()
	defer l.mu.Unlock()
	var (
		batch api.RequestBatch
		bytes int
		taken int

		reached = l.net.reached.Load()
	)
	for _, c := range l.queue {
		if c.state == queued {
			full := bytes+c.bytes > maxBatchBytes
			if full && len(batch.Requests) > 0 {
				break
			}
			c.state, c.reached = sent, reached
			l.sent[c.req.Id] = c
			batch.Requests = append(batch.Requests, c.req)
			bytes += c.bytes
		}
		l.queueBytes -= c.bytes
		taken++
	}
	l.shrink(taken)
	if len(batch.Requests) == 0 {
		return nil
	}
	return &batch
}

// shrink drops the first n calls of the queue and tells those who wait for room.
// Caller holds mu.
func (l *link) shrink(n int) {
	kept := copy(l.queue, l.queue[n:])
	clear(l.queue[kept:])
	l.queue = l.queue[:kept]
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// deliver hands replies to those who wait for them. Others have been given up.
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
		case was == sent: // after that c may be used for another call
			c.done <- result{answer: Answer{Reply: r, Reached: c.reached}} // has room: see call.done
		case c.take != nil:
			c.take(r)
		default:
			c.reply = r
		}
	}
}

// fail ends all calls: those that were sent have an unknown fate, unless nobody was there
// to execute them.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
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
	l.shrink(len(l.queue))
}

// run serves the link until ctx ends. A stream is opened when there is something to
// send; gRPC paces the attempts to connect, and fails them at once between.
func (l *link) run(ctx context.Context) {
	for l.awaitWork(ctx, nil) {
		l.fail(l.exchange(ctx))
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.fail(ErrClosed)
	l.conn.Close()
}

// awaitWork waits until something may be in the queue. It returns false when ctx or
// the stream has ended.
func (l *link) awaitWork(ctx context.Context, broken <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-broken:
		return false
	case <-l.wake.C():
		return true
	}
}

// exchange opens a stream and sends what gets queued, until it breaks. It returns why.
func (l *link) exchange(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	stream, err := l.open(ctx, cancel)
	if err != nil {
		return err
	}
	broken := make(chan struct{})
	var cause error // set before broken is closed
	go func() {
		defer close(broken)
		cause = l.receive(stream)
	}()
	for more := true; more; more = l.awaitWork(ctx, broken) {
		runtime.Gosched() // let all callers that are ready queue their calls: they share a batch
		if err := l.sendQueued(stream.Send); err != nil {
			break // the cause is what the receiver sees
		}
	}
	cancel()
	<-broken
	return fmt.Errorf("stream broke: %w", cause)
}

// sendQueued sends what is in the queue. What is there still after an error never left.
func (l *link) sendQueued(send func(*api.RequestBatch) error) error {
	for batch := l.drain(); batch != nil; batch = l.drain() {
		l.watch.begin()
		if err := send(batch); err != nil {
			return err
		}
	}
	return nil
}

// open opens a stream and waits until its server has said who it is. Nothing is sent
// before, so that no request reaches a wrong cluster.
func (l *link) open(ctx context.Context, cancel context.CancelFunc) (api.KV_ExchangeClient, error) {
	timer := time.AfterFunc(connectTimeout, cancel)
	defer timer.Stop()
	defer l.awaiting()()
	stream, err := api.NewKVClient(l.conn).Exchange(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", l.hands.explain(err))
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, fmt.Errorf("connect: %w", l.hands.explain(err))
	}
	if first.Hello == nil {
		return nil, errors.New("connect: server said no Hello")
	}
	if err := l.net.admit(first.Hello); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.unborn = first.Hello.ClusterId == 0
	l.mu.Unlock()
	l.node.Store(first.Hello.NodeId)
	l.deliver(first.Replies)
	return stream, nil
}

func (l *link) receive(stream api.KV_ExchangeClient) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		l.deliver(batch.Replies)
	}
}
