package server

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

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
	// maxUnsentReplies and maxUnsentRefusals, of requests that were not counted, stop the
	// reading of a stream whose client does not read.
	maxUnsentReplies  = 4 << 10
	maxUnsentRefusals = 1 << 10
	// uncountedWait is how long a stream may keep what there is no room to count.
	uncountedWait = time.Second
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
	account *account
	wake    chan struct{} // capacity 1: unsent, ended or over has changed
	room    chan struct{} // capacity 1: unsent has been taken

	// sending is since when a batch of replies is being handed to the network, in Unix
	// nanoseconds; 0 while none is.
	sending atomic.Int64

	mu      sync.Mutex
	unsent  []answer
	refused int   // how many of unsent are of requests that were not counted
	pending int   // requests that have no reply yet
	ended   error // why no more requests come; nil while they may
	over    bool  // nobody will send any more
}

// answer is a reply and what its request counts for. A request that was never counted
// has a refusal in place of a reply: what is not counted must take little memory.
type answer struct {
	reply   *api.Reply
	cost    int64
	id      uint64 // of a request that was refused
	refusal verdict
}

func newExchange(h handler, a *account) *exchange {
	return &exchange{
		handler: h,
		account: a,
		wake:    make(chan struct{}, 1),
		room:    make(chan struct{}, 1),
	}
}

// errStreamBusy ends a stream whose client reads too slowly for what it asks, when there
// is no room to wait for it.
var errStreamBusy = status.Error(codes.ResourceExhausted, "the replies are not read, and there is too much in progress to wait for that")

// receive starts what comes in until the client has no more, or ctx ends.
func (x *exchange) receive(ctx context.Context, recv func() (*api.RequestBatch, error)) {
	for {
		batch, err := recv()
		if err != nil {
			x.end(err)
			return
		}
		for i, req := range batch.Requests {
			x.start(req)
			if x.hasRoom() {
				continue
			}
			if err := x.awaitRoom(ctx, batch.Requests[i+1:]); err != nil {
				x.end(err)
				return
			}
		}
	}
}

// start hands one request to the handler, or refuses it.
func (x *exchange) start(req *api.Request) {
	cost := costOf(req)
	x.mu.Lock()
	x.pending++
	x.mu.Unlock()
	if v := x.account.enter(cost); v != allowed {
		x.put(answer{id: req.Id, refusal: v})
		return
	}
	t := newTicket()
	t.exchange, t.cost = x, cost
	x.handler.Handle(req, t.reply)
}

// costOf is what a request counts for, in bytes.
func costOf(req *api.Request) int64 { return int64(len(req.Key) + len(req.Value) + requestOverhead) }

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
	if value == 0 {
		return answer{reply: r, cost: cost}
	}
	switch x.account.grow(value) {
	case overClient:
		return answer{reply: service.Busy(r.Id, "this client has too many replies waiting to be read"), cost: cost}
	case overServer:
		return answer{reply: service.Busy(r.Id, "this server has too many replies waiting to be read"), cost: cost}
	}
	return answer{reply: r, cost: cost + value}
}

// said is the reply to be sent.
func (a answer) said() *api.Reply {
	switch a.refusal {
	case overClient:
		return service.Busy(a.id, "this client has too many requests in progress")
	case overServer:
		return service.Busy(a.id, "this server has too many requests in progress")
	}
	return a.reply
}

// put queues a reply. It never blocks: the replica's goroutines call it.
func (x *exchange) put(a answer) {
	x.mu.Lock()
	x.pending--
	over := x.over
	if !over {
		x.unsent = append(x.unsent, a)
		if a.refusal != allowed {
			x.refused++
		}
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
	if a.refusal == allowed {
		x.account.leave(a.cost)
	}
}

// hasRoom tells whether the client has taken enough replies to be asked for more.
func (x *exchange) hasRoom() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.unsent) < maxUnsentReplies && x.refused < maxUnsentRefusals
}

// awaitRoom waits until the client has taken enough replies, or ctx ends. Meanwhile the
// rest of its batch counts as in progress, and so does what gRPC may receive of the next.
// If that is too much it waits for a moment only: a client that reads needs no longer.
func (x *exchange) awaitRoom(ctx context.Context, rest []*api.Request) error {
	kept := int64(streamWindow)
	for _, req := range rest {
		kept += costOf(req)
	}
	var late <-chan time.Time
	if x.account.grow(kept) == allowed {
		defer x.account.shrink(kept)
	} else {
		timer := time.NewTimer(uncountedWait)
		defer timer.Stop()
		late = timer.C
	}
	for !x.hasRoom() {
		select {
		case <-x.room:
		case <-late:
			return errStreamBusy
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
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
	answers, x.unsent, x.refused = x.unsent, before[:0], 0
	return answers, x.pending, x.ended
}

// sendAll sends answers in batches of limited size.
func (x *exchange) sendAll(answers []answer, send func(*api.ReplyBatch) error) error {
	for len(answers) > 0 {
		n := fitting(answers)
		batch := &api.ReplyBatch{Replies: make([]*api.Reply, n)}
		for i, a := range answers[:n] {
			batch.Replies[i] = a.said()
		}
		x.sending.Store(time.Now().UnixNano())
		err := send(batch)
		x.sending.Store(0)
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
		size += replyOverhead
		if a.reply != nil {
			size += len(a.reply.Value)
		}
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
