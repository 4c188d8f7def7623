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

// Bounds of one batch and of the queue. When the queue is full, callers wait until it has
// room. Bytes are those of keys and values, plus callOverhead for each call. A batch stays
// below 32 KiB, because gRPC allocates and clears a buffer of 1 MiB for a larger one.
const (
	maxBatchBytes = 31 << 10
	maxQueueCalls = 4 << 10
	maxQueueBytes = 4 << 20
	callOverhead  = 48 // at least the bytes of a request on the wire without key and value
)

var errNoAnswer = errors.New("no answer in time")

// link connects to one server: it has a queue of calls, and a stream that carries them
// while the server can be reached. Two goroutines serve all calls: run sends requests,
// receive hands out replies.
//
// The states of a call are queued, sent and over. If its time is up when it is sent, it is
// late before it is over. While it is sent or late it is in the map sent. When the stream
// breaks, the calls of the map may have been executed, and the queued ones were certainly
// never sent.
type link struct {
	net       *network
	conn      *grpc.ClientConn
	handshake *handshake
	watchdog  *watchdog
	node      atomic.Uint64 // the node id in the server's last Hello
	wake      wake.Signal   // the queue may have become non-empty
	pinging   atomic.Bool   // see ping

	mu         sync.Mutex
	queue      []*call // with calls that are over, until they are drained
	queueBytes int
	sent       map[uint64]*call // by id of the request; late ones too
	noCluster  bool             // the stream's server is in no cluster yet, so that it executes nothing
	stale      bool             // the stream's user is none any more: nothing is sent on it
	token      string           // of the stream
	unary      int              // unary requests that wait for an answer
	lastID     uint64
	room       chan struct{} // closed when the queue has shrunk; nil if nobody waits for that
	closed     bool
}

// call is one request under way.
type call struct {
	link    *link
	req     *api.Request
	bytes   int
	reached uint64      // the store's revision when the call was sent, as far as known; guarded by link.mu
	state   callState   // guarded by link.mu
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

// newLink returns a link without its conn.
func newLink(n *network) *link {
	l := &link{net: n, wake: wake.New(), sent: make(map[uint64]*call)}
	l.watchdog = newWatchdog(l.unanswered, l.ping)
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
		c.state, c.reached = sent, reached
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

// run serves the link until ctx ends. It opens a stream when a call is queued. gRPC decides
// when to connect, and until the next attempt a stream fails at once.
func (l *link) run(ctx context.Context) {
	for awaitWork(ctx, l.wake, nil) {
		l.fail(l.runStream(ctx))
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.fail(ErrClosed)
	l.conn.Close()
}

// awaitWork waits until ready says that there may be something to send. It returns false when ctx
// or the stream has ended.
func awaitWork(ctx context.Context, ready wake.Signal, broken <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-broken:
		return false
	case <-ready.C():
		return true
	}
}

// runStream opens a stream and sends the calls that are queued, until the stream breaks. It
// returns why it broke.
func (l *link) runStream(parent context.Context) error {
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
	for sending := true; sending; {
		runtime.Gosched()                // let all callers that are ready queue their calls: they share a batch
		err := l.sendQueued(stream.Send) // if it fails, the receiver gets the cause
		sending = err == nil && awaitWork(ctx, l.wake, broken)
	}
	cancel()
	<-broken
	return fmt.Errorf("stream broke: %w", cause)
}

// sendQueued sends the calls of the queue. Calls that are still in the queue after an error
// were never sent.
func (l *link) sendQueued(send func(*api.RequestBatch) error) error {
	for batch := l.drain(); batch != nil; batch = l.drain() {
		l.watchdog.begin()
		if err := send(batch); err != nil {
			return err
		}
	}
	return nil
}

// open opens a stream and waits for the server's Hello. No request is sent before, so that
// none reaches another cluster.
func (l *link) open(ctx context.Context, cancel context.CancelFunc) (api.KV_ExchangeClient, error) {
	stream, first, err := greeted(ctx, l, cancel, api.NewKVClient(l.conn).Exchange)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.noCluster, l.stale = first.Hello.ClusterId == 0, false
	l.mu.Unlock()
	l.node.Store(first.Hello.NodeId)
	l.deliver(first.Replies)
	return stream, nil
}

// greeted opens a stream of any kind, and waits for its first message, which has the Hello of a
// server that may be asked.
func greeted[S interface{ Recv() (M, error) }, M interface{ GetHello() *api.Hello }](
	ctx context.Context, l *link, cancel context.CancelFunc, open func(context.Context, ...grpc.CallOption) (S, error),
) (stream S, first M, err error) {
	timer := time.AfterFunc(connectTimeout, cancel)
	defer timer.Stop()
	defer l.awaitUnary()()
	ctx, token, err := l.net.login.authenticated(ctx, l.conn)
	if err == nil {
		stream, err = open(ctx)
	}
	if err == nil {
		first, err = stream.Recv()
	}
	if err != nil {
		return stream, first, fmt.Errorf("connect: %w", l.handshake.explain(l.net.login.refused(token, err)))
	}
	l.setToken(token)
	if first.GetHello() == nil {
		return stream, first, errors.New("connect: server said no Hello")
	}
	return stream, first, l.net.admit(first.GetHello())
}

func (l *link) receive(stream api.KV_ExchangeClient) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		l.net.hear(batch.Hello)
		l.deliver(batch.Replies)
		if l.spent() {
			return errStale
		}
	}
}

func (l *link) setToken(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.token = token
}

func (l *link) lastToken() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.token
}

// spent tells whether the stream is stale, and all that was sent on it is answered.
func (l *link) spent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stale {
		l.net.login.forget(l.token)
	}
	return l.stale && len(l.sent) == 0
}
