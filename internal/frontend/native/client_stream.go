package native

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

	"balsa.example/api"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/internal/wake"
)

const (
	// maxBatchBytes is about how large a batch of replies gets. One reply larger than
	// that is a batch of its own. For batches beyond 32 KiB gRPC takes, and clears, a
	// buffer of 1 MiB.
	maxBatchBytes = 31 << 10
	// replyOverhead is at least what a reply takes on the wire besides its value.
	replyOverhead = 48
	// maxUnsentReplies stops the reading of a stream whose client does not read.
	maxUnsentReplies = 1 << 10
	// uncountedWait is how long a stream may keep what there is no room to count.
	uncountedWait = 2 * time.Second
	// keptAnswers is for how many answers a stream keeps space while it does not need it.
	keptAnswers = 1 << 8
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
	wake    wake.Signal // unsent, ended or over has changed
	room    wake.Signal // unsent has been taken

	// sending is since when a batch of replies is being handed to the network, in Unix
	// nanoseconds; 0 while none is.
	sending atomic.Int64

	mu      sync.Mutex
	unsent  []answer
	pending int   // requests that have no reply yet
	ended   error // why no more requests come; nil while they may
	over    bool  // nobody will send any more
}

// answer is a reply and what its request counts for. What is not counted must take little
// memory: a request that was refused has a refusal that all share in place of a reply, and
// its id in place of a cost.
type answer struct {
	reply *api.Reply
	cost  int64
}

// refusalOf says whose bound was exceeded, by verdict.
var refusalOf = [...]*api.Reply{
	overClient: translate.Busy(0, "this client has too many requests in progress"),
	overServer: translate.Busy(0, "this server has too many requests in progress"),
}

// isRefusal tells whether the request was not counted.
func (a answer) isRefusal() bool {
	return a.reply == refusalOf[overClient] || a.reply == refusalOf[overServer]
}

func newExchange(h handler, a *account) *exchange {
	return &exchange{
		handler: h,
		account: a,
		wake:    wake.New(),
		room:    wake.New(),
	}
}

// errStreamBusy ends a stream whose client reads too slowly for what it asks, when there
// is no room to wait for it.
var errStreamBusy = status.Error(codes.ResourceExhausted, "the replies are not read, and there is too much in progress to wait for that")

// receive starts what comes in until the client has no more, or ctx ends. It returns
// errStreamBusy if the client should be sent away.
func (x *exchange) receive(ctx context.Context, recv func() (*api.RequestBatch, error)) error {
	for {
		batch, err := recv()
		if err == nil {
			err = x.startAll(ctx, batch)
		}
		if err != nil {
			x.end(err)
			return err
		}
	}
}

// startAll starts the requests of a batch. While the client reads too few replies the
// batch, which stays in memory, counts as in progress, and so does what gRPC may receive of
// the next one. If that is too much, what is left of the batch is refused.
func (x *exchange) startAll(ctx context.Context, batch *api.RequestBatch) error {
	for i, req := range batch.Requests {
		x.start(req)
		if x.hasRoom() {
			continue
		}
		kept := int64(streamWindow)
		for _, req := range batch.Requests {
			kept += costOf(req)
		}
		if v := x.account.grow(kept); v != allowed {
			for _, req := range batch.Requests[i+1:] {
				x.refuse(req.Id, v)
			}
			return x.awaitRoom(ctx, time.After(uncountedWait)) // a client that reads needs no longer
		}
		err := x.awaitRoom(ctx, nil)
		x.account.shrink(kept)
		if err != nil {
			return err
		}
	}
	return nil
}

// start hands one request to the handler, or refuses it.
func (x *exchange) start(req *api.Request) {
	cost := costOf(req)
	if v := x.account.enter(cost); v != allowed {
		x.refuse(req.Id, v)
		return
	}
	x.await()
	t := newTicket()
	t.exchange, t.cost = x, cost
	x.handler.Handle(req, t.reply)
}

// refuse answers a request that is not counted.
func (x *exchange) refuse(id uint64, v verdict) {
	x.await()
	x.put(answer{refusalOf[v], int64(id)})
}

// await takes note of a request that will be answered.
func (x *exchange) await() {
	x.mu.Lock()
	x.pending++
	x.mu.Unlock()
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
		return answer{r, cost}
	}
	switch x.account.grow(value) {
	case overClient:
		return answer{translate.Busy(r.Id, "this client has too many replies waiting to be read"), cost}
	case overServer:
		return answer{translate.Busy(r.Id, "this server has too many replies waiting to be read"), cost}
	}
	return answer{r, cost + value}
}

// said is the reply to be sent.
func (a answer) said() *api.Reply {
	if a.isRefusal() {
		return translate.Busy(uint64(a.cost), a.reply.Message)
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
	}
	x.mu.Unlock()
	if over {
		x.settle(a)
		return
	}
	x.wake.Set()
}

// settle uncounts a request whose reply has left, or never will.
func (x *exchange) settle(a answer) {
	if !a.isRefusal() {
		x.account.leave(a.cost)
	}
}

// hasRoom tells whether the client has taken enough replies to be asked for more.
func (x *exchange) hasRoom() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.unsent) < maxUnsentReplies
}

// awaitRoom waits until the client has taken enough replies, or it is late, or ctx ends.
func (x *exchange) awaitRoom(ctx context.Context, late <-chan time.Time) error {
	for !x.hasRoom() {
		select {
		case <-x.room.C():
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
	x.wake.Set()
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
			x.room.Set()
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
		case <-x.wake.C():
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
	if cap(before) > keptAnswers && len(x.unsent) < cap(before)/8 {
		before = nil
	}
	answers, x.unsent = x.unsent, before[:0]
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
		if err == nil && large(answers[:n]) {
			err = send(&api.ReplyBatch{})
		}
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
		size += len(a.reply.Value) + replyOverhead
		if i > 0 && size > maxBatchBytes {
			return i
		}
	}
	return len(answers)
}

// large tells whether a batch is more than gRPC may keep of a stream. gRPC takes it at once
// all the same, but nothing behind it before its bytes have left; so an empty batch is sent
// behind it, and what it holds counts until then.
func large(answers []answer) bool { return len(answers[0].reply.Value) > streamWindow/2 }

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
