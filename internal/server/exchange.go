package server

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa/api"
	"balsa/internal/service"
)

const (
	// maxBatchBytes is about how large a batch of replies gets. One reply larger than
	// that is a batch of its own. For batches beyond 32 KiB gRPC takes, and clears, a
	// buffer of 1 MiB.
	maxBatchBytes = 31 << 10
	// replyOverhead is at least what a reply takes on the wire besides its value.
	replyOverhead = 48
	// maxUnsentReplies stops the reading of a stream whose client does not read.
	maxUnsentReplies = 4 << 10
)

// handler is a Service as a stream sees it.
type handler interface {
	Handle(req *api.Request, reply func(*api.Reply))
}

// exchange is one client's stream. There is a goroutine that receives requests and
// starts them, and one that sends the replies; what happens in between happens on
// the replica's goroutines, which only ever append to unsent.
type exchange struct {
	handler handler
	server  *flow // shared by all streams
	stream  flow
	wake    chan struct{} // capacity 1: unsent, ended or over has changed
	room    chan struct{} // capacity 1: unsent has been taken

	mu      sync.Mutex
	unsent  []answer
	pending int   // requests that have no reply yet
	ended   error // why no more requests come; nil while they may
	over    bool  // nobody will send any more
}

// answer is a reply and what its request counts for.
type answer struct {
	reply *api.Reply
	cost  int64 // 0: was never counted
}

func newExchange(h handler, server *flow) *exchange {
	return &exchange{
		handler: h,
		server:  server,
		stream:  flow{maxRequests: maxStreamRequests, maxBytes: maxStreamBytes},
		wake:    make(chan struct{}, 1),
		room:    make(chan struct{}, 1),
	}
}

// receive starts what comes in until the client has no more, or ctx ends.
func (x *exchange) receive(ctx context.Context, recv func() (*api.RequestBatch, error)) {
	for {
		batch, err := recv()
		if err != nil {
			x.end(err)
			return
		}
		for _, req := range batch.Requests {
			x.start(req)
			if !x.awaitRoom(ctx) {
				x.end(ctx.Err())
				return
			}
		}
	}
}

// start hands one request to the handler, or refuses it.
func (x *exchange) start(req *api.Request) {
	cost := int64(len(req.Key) + len(req.Value) + requestOverhead)
	x.mu.Lock()
	x.pending++
	x.mu.Unlock()
	switch {
	case !x.stream.enter(cost):
		x.put(answer{reply: service.Busy(req.Id, "this stream has too many requests in progress")})
	case !x.server.enter(cost):
		x.stream.leave(cost)
		x.put(answer{reply: service.Busy(req.Id, "this server has too many requests in progress")})
	default:
		t := newTicket()
		t.exchange, t.cost = x, cost
		x.handler.Handle(req, t.reply)
	}
}

// ticket is what a request in progress leaves with the handler. It is used again.
type ticket struct {
	exchange *exchange
	cost     int64
	reply    func(*api.Reply) // redeem, made once
}

var tickets sync.Pool

func newTicket() *ticket {
	if t, ok := tickets.Get().(*ticket); ok {
		return t
	}
	t := new(ticket)
	t.reply = t.redeem
	return t
}

// redeem takes the one reply to a request.
func (t *ticket) redeem(r *api.Reply) {
	x, cost := t.exchange, t.cost
	t.exchange = nil
	tickets.Put(t)
	x.put(x.weigh(r, cost))
}

// weigh lets the value of a read count as in progress too, until the client has taken
// it. Where that is too much the read gets BUSY: it left no trace and can be repeated.
func (x *exchange) weigh(r *api.Reply, cost int64) answer {
	value := int64(len(r.Value))
	switch {
	case value == 0:
		return answer{r, cost}
	case !x.stream.grow(value):
		return answer{service.Busy(r.Id, "this stream has too many replies waiting to be read"), cost}
	case !x.server.grow(value):
		x.stream.shrink(value)
		return answer{service.Busy(r.Id, "this server has too many replies waiting to be read"), cost}
	}
	return answer{r, cost + value}
}

// put queues a reply. It never blocks: the replica's goroutines call it.
func (x *exchange) put(a answer) {
	x.mu.Lock()
	x.pending--
	over := x.over
	if !over {
		x.unsent = append(x.unsent, a)
	}
	x.mu.Unlock()
	if over {
		x.settle(a)
		return
	}
	notify(x.wake)
}

// settle uncounts a request whose reply has left, or never will.
func (x *exchange) settle(a answer) {
	if a.cost > 0 {
		x.stream.leave(a.cost)
		x.server.leave(a.cost)
	}
}

// awaitRoom waits until the client has taken enough replies, or ctx ends.
func (x *exchange) awaitRoom(ctx context.Context) bool {
	for {
		x.mu.Lock()
		ok := len(x.unsent) < maxUnsentReplies
		x.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-x.room:
		case <-ctx.Done():
			return false
		}
	}
}

// end says that no more requests come.
func (x *exchange) end(reason error) {
	x.mu.Lock()
	if x.ended == nil {
		x.ended = reason
	}
	x.mu.Unlock()
	notify(x.wake)
}

// send sends replies until all requests are answered and either no more come or
// draining is closed. It returns the status with which the stream ends.
func (x *exchange) send(ctx context.Context, draining <-chan struct{}, send func(*api.ReplyBatch) error) error {
	defer x.abandon()
	var answers []answer
	for drained := false; ; {
		runtime.Gosched() // let all who have replies ready queue them: they share a batch
		var pending int
		var ended error
		answers, pending, ended = x.take(answers)
		if len(answers) > 0 {
			notify(x.room)
			if err := x.sendAll(answers, send); err != nil {
				return err
			}
			continue
		}
		switch {
		case pending > 0:
		case errors.Is(ended, io.EOF):
			return nil
		case ended != nil:
			return ended
		case drained:
			return status.Error(codes.Unavailable, "server is stopping")
		}
		select {
		case <-x.wake:
		case <-draining:
			draining, drained = nil, true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take returns all that is unsent. It uses the space of those who were taken before.
func (x *exchange) take(before []answer) (answers []answer, pending int, ended error) {
	clear(before)
	x.mu.Lock()
	defer x.mu.Unlock()
	answers, x.unsent = x.unsent, before[:0]
	return answers, x.pending, x.ended
}

// sendAll sends answers in batches of limited size.
func (x *exchange) sendAll(answers []answer, send func(*api.ReplyBatch) error) error {
	for len(answers) > 0 {
		n := fitting(answers)
		batch := &api.ReplyBatch{Replies: make([]*api.Reply, n)}
		for i, a := range answers[:n] {
			batch.Replies[i] = a.reply
		}
		err := send(batch)
		for _, a := range answers[:n] {
			x.settle(a)
		}
		if err != nil {
			for _, a := range answers[n:] {
				x.settle(a)
			}
			return err
		}
		answers = answers[n:]
	}
	return nil
}

// fitting returns how many of the answers make the next batch, at least one.
func fitting(answers []answer) int {
	size := 0
	for i, a := range answers {
		size += len(a.reply.Value) + replyOverhead
		if i > 0 && size > maxBatchBytes {
			return i
		}
	}
	return len(answers)
}

// abandon lets go of all replies, those to come included.
func (x *exchange) abandon() {
	x.mu.Lock()
	answers := x.unsent
	x.unsent, x.over = nil, true
	x.mu.Unlock()
	for _, a := range answers {
		x.settle(a)
	}
}

// notify wakes whoever waits on a channel of capacity 1, now or later.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
