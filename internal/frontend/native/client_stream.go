package native

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
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
	// maxAhead is about how many bytes of pages a stream reads before its client takes them. More would not be
	// there any sooner, and has left the caches of the processors when it is sent.
	maxAhead = 4 << 20
	// maxUnsentReplies stops the reading of a stream whose client does not read.
	maxUnsentReplies = 1 << 10
	// uncountedWait is how long a stream may keep a batch that is over a bound, and so is
	// not counted.
	uncountedWait = 2 * time.Second
	// drainQuiet is how long a stream that is to end has to be quiet. Its client may have sent requests
	// before it heard that this server refuses them, and would not know what became of those.
	drainQuiet = 50 * time.Millisecond
	// keptAnswers is the capacity, in answers, that a stream keeps while it needs less.
	keptAnswers = 1 << 8
	// maxGets is how many GETs are handed over together. It is far below maxUnsentReplies.
	maxGets = 1 << 6
)

// handler answers requests: reply is called once, from any goroutine, and does not block. GETs that
// came together are handed over together.
type handler interface {
	Follow(req *api.Request, trail *translate.Trail, reply func(*api.Reply))
	HandleGets(gets []translate.Get)
}

// clientStream is one stream of a client. One goroutine receives requests and starts them
// (receive), another sends the replies (send). The replica's goroutines append replies to
// unsent, and do nothing else here.
type clientStream struct {
	handler handler
	account *clients.Account
	// refused is told of each request that gets BUSY without the handler; nil: nobody is.
	refused func(api.Request_Kind, *api.Reply)
	watch   *observer       // nil: nobody asks where the time of requests went
	batch   time.Duration   // of receive: when the batch came whose requests are started, on the observer's clock
	wake    wake.Signal     // for send: unsent or ended has changed
	room    wake.Signal     // for receive: send has taken all of unsent
	gets    []translate.Get // of receive: they were counted, and are not handed over yet; at most maxGets

	mu      sync.Mutex
	unsent  []answer
	pending int   // requests without a reply so far
	counted int   // requests for which, and for whose replies, the account counts
	pages   int   // those of them that read a page
	page    int64 // bytes of a page, by those that were read last
	ended   error // why no more requests come; nil while they may
	closed  bool  // send has returned: replies are dropped
	parked  []parkedRequest
}

// answer is a reply, the bytes for which it and its request count, and those of the reply alone.
//
// A request over a bound is refused and counts for nothing, so its answer must take little
// memory. It shares one reply (refusalOf) with all others, and cost is its id.
type answer struct {
	reply   *api.Reply
	cost    int64
	size    int64
	page    bool     // see isPage
	request *request // nil: it was refused, or nobody asks where its time went
}

// refusalOf is the shared reply to requests over a bound, by verdict.
var refusalOf = [...]*api.Reply{
	clients.OverClient: translate.Busy(0, "this client has too many requests in progress"),
	clients.OverServer: translate.Busy(0, "this server has too many requests in progress"),
	tooLate:            translate.Late(0),
}

// What BUSY says in place of a reply for which there is no room.
const (
	textClientReplies = "this client has too many replies waiting to be read"
	textServerReplies = "this server has too many replies waiting to be read"
)

// tooLate is the verdict on a request whose time was up while it was parked.
const tooLate = clients.OverServer + 1

// isRefusal tells whether the request was refused, and so counts for nothing.
func (a answer) isRefusal() bool {
	return a.reply == refusalOf[clients.OverClient] || a.reply == refusalOf[clients.OverServer] || a.reply == refusalOf[tooLate]
}

func newClientStream(h handler, a *clients.Account) *clientStream {
	return &clientStream{
		handler: h,
		account: a,
		wake:    wake.New(),
		room:    wake.New(),
		page:    translate.MaxPageBytes,
	}
}

// errStreamBusy ends a stream whose client does not read its replies, when its batch cannot
// wait because it is over a bound.
var errStreamBusy = status.Error(codes.ResourceExhausted, "the replies are not read, and there is too much in progress to wait for that")

// receive starts the requests that come in, until the client sends no more or ctx ends. It
// returns errStreamBusy if the connection should be closed.
func (s *clientStream) receive(ctx context.Context, recv func() (*api.RequestBatch, error)) error {
	for {
		batch, err := recv()
		if err == nil {
			err = s.startBatch(ctx, batch)
		}
		if err != nil {
			s.end(err)
			return err
		}
	}
}

// startBatch starts the requests of a batch, and waits whenever too many replies are unsent.
// While it waits, the batch stays in memory, so it counts as in progress, and so does what
// gRPC may receive of the next batch. If that is over a bound, the rest of the batch is
// refused.
func (s *clientStream) startBatch(ctx context.Context, batch *api.RequestBatch) error {
	defer s.handleGets()
	s.batch = s.watch.now()
	for i, req := range batch.Requests {
		s.start(req)
		if s.hasRoom() {
			continue
		}
		s.handleGets()
		kept := int64(clients.StreamWindow)
		for _, req := range batch.Requests {
			kept += costOf(req)
		}
		if v := s.account.Grow(kept); v != clients.Allowed {
			for _, req := range batch.Requests[i+1:] {
				s.refuse(req, v)
			}
			return s.awaitRoom(ctx, time.After(uncountedWait)) // enough for a client that reads
		}
		err := s.awaitRoom(ctx, nil)
		s.account.Shrink(kept)
		if err != nil {
			return err
		}
	}
	return nil
}

// start hands one request to the handler, parks it, or refuses it.
func (s *clientStream) start(req *api.Request) {
	cost, expected := costOf(req), expectedOf(req)
	if v := s.account.Enter(cost); v != clients.Allowed {
		s.refuse(req, v)
		return
	}
	switch v, parked := s.admit(req, expected); {
	case parked:
	case v != clients.Allowed:
		s.account.Leave(cost)
		s.refuse(req, v)
	default:
		s.handle(req, cost, expected, time.Time{})
	}
}

// handle hands a request to the handler. parked is since when it has waited; zero: it came with the
// present batch.
func (s *clientStream) handle(req *api.Request, cost, expected int64, parked time.Time) {
	r := newRequest()
	r.stream, r.kind, r.cost, r.expected = s, req.Kind, cost, expected
	trail := s.begin(r, req, parked)
	if req.Kind != api.Request_GET { // GETs are never parked, so receive is here
		s.handler.Follow(req, trail, r.reply)
		return
	}
	if s.gets = append(s.gets, translate.Get{Request: req, Trail: trail, Reply: r.reply}); len(s.gets) == maxGets {
		s.handleGets()
	}
}

// handleGets hands over the GETs that were gathered.
func (s *clientStream) handleGets() {
	if len(s.gets) > 0 {
		s.handler.HandleGets(s.gets)
		clear(s.gets)
		s.gets = s.gets[:0]
	}
}

// refuse answers a request that is not counted.
func (s *clientStream) refuse(req *api.Request, v clients.Verdict) {
	s.expect()
	s.answerRefused(req, v)
}

// answerRefused answers a request that is expected to get a reply, and counts for nothing.
func (s *clientStream) answerRefused(req *api.Request, v clients.Verdict) {
	s.noteRefused(req.Kind, refusalOf[v])
	s.queue(answer{reply: refusalOf[v], cost: int64(req.Id)})
}

func (s *clientStream) noteRefused(kind api.Request_Kind, reply *api.Reply) {
	if s.refused != nil {
		s.refused(kind, reply)
	}
}

// expect counts a request that will get a reply.
func (s *clientStream) expect() {
	s.mu.Lock()
	s.pending++
	s.mu.Unlock()
}

// request is one request in progress: where its reply goes, and what it counts for. Its
// memory is used again.
type request struct {
	stream   *clientStream
	kind     api.Request_Kind
	cost     int64
	expected int64            // what its reply counts for until it is there
	reply    func(*api.Reply) // finish: a method value, which would be allocated at each use
	way      way
}

var requestPool sync.Pool

func newRequest() *request {
	if r, ok := requestPool.Get().(*request); ok {
		return r
	}
	r := new(request)
	r.reply = r.finish
	return r
}

// finish takes the one reply to the request.
func (r *request) finish(reply *api.Reply) {
	s, a := r.stream, r.countReply(reply)
	a.page = isPage(r.kind, r.expected)
	r.stream = nil
	if s.watch == nil {
		requestPool.Put(r)
	} else {
		r.way.done = s.watch.now()
		a.request = r
	}
	s.queue(a)
}

// countReply lets what a reply holds count as in progress, too, until the client has taken it.
// If that is over a bound a read gets BUSY instead: it changed nothing and can be repeated. A
// write that was executed says so, and leaves out what is large.
func (r *request) countReply(reply *api.Reply) answer {
	account, size := r.stream.account, costOfReply(reply)
	if size <= r.expected {
		if size < r.expected {
			account.Shrink(r.expected - size)
		}
		return answer{reply: reply, cost: r.cost + size, size: size}
	}
	v := account.Grow(size - r.expected)
	switch {
	case v == clients.Allowed:
		return answer{reply: reply, cost: r.cost + size, size: size}
	case !isRead(r.kind):
		translate.Shorten(reply)
	case v == clients.OverClient:
		reply = translate.Busy(reply.Id, textClientReplies)
	default:
		reply = translate.Busy(reply.Id, textServerReplies)
	}
	if reply.Code == api.Reply_BUSY {
		r.stream.noteRefused(r.kind, reply)
	}
	return answer{reply: reply, cost: r.cost + r.expected, size: costOfReply(reply)}
}

// isRead tells whether requests of a kind change nothing.
func isRead(kind api.Request_Kind) bool {
	switch kind {
	case api.Request_GET, api.Request_RANGE, api.Request_LEASE_TIME_TO_LIVE, api.Request_LEASES:
		return true
	}
	return false
}

// message is the reply as it is sent.
func (a answer) message() *api.Reply {
	if a.isRefusal() {
		return translate.Busy(uint64(a.cost), a.reply.Message)
	}
	return a.reply
}

// queue adds an answer to unsent. It never blocks: the replica's goroutines call it.
func (s *clientStream) queue(a answer) {
	s.mu.Lock()
	s.pending--
	if a.page {
		s.page = max(a.size, s.page/2)
	}
	closed := s.closed
	if !closed {
		s.unsent = append(s.unsent, a)
	}
	s.mu.Unlock()
	if closed {
		s.release(a, s.watch.now())
		return
	}
	s.wake.Set()
}

// release ends the counting of a request, when its reply was sent or dropped.
func (s *clientStream) release(a answer, now time.Duration) {
	if a.request != nil {
		s.watch.ended(a, now)
		requestPool.Put(a.request)
	}
	if a.isRefusal() {
		return
	}
	s.account.Leave(a.cost)
	s.mu.Lock()
	s.counted--
	if a.page {
		s.pages--
	}
	waiting := len(s.parked) > 0
	s.mu.Unlock()
	if waiting {
		s.unpark()
	}
}

// hasRoom tells whether so few replies are unsent that more requests can be started.
func (s *clientStream) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unsent) < maxUnsentReplies
}

// awaitRoom waits for hasRoom, until late or until ctx ends.
func (s *clientStream) awaitRoom(ctx context.Context, late <-chan time.Time) error {
	for !s.hasRoom() {
		select {
		case <-s.room.C():
		case <-late:
			return errStreamBusy
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// end notes why no more requests come.
func (s *clientStream) end(reason error) {
	s.mu.Lock()
	if s.ended == nil {
		s.ended = reason
	}
	s.mu.Unlock()
	s.wake.Set()
}

// send sends replies until all requests are answered and either no more come or, some time after
// draining was closed, no more have come. In between it tells of changes of the members. It
// returns the status with which the stream ends.
func (s *clientStream) send(ctx context.Context, draining <-chan struct{}, members heralds, send func(*api.ReplyBatch) error) error {
	defer s.close()
	var answers []answer
	var quiet <-chan time.Time // once draining is closed
	for drained := false; ; {
		runtime.Gosched() // goroutines that have replies ready queue them first: they share a batch
		var pending int
		var ended error
		answers, pending, ended = s.take(answers)
		if len(answers) > 0 {
			s.room.Set()
			if err := s.sendAll(answers, send); err != nil {
				return err
			}
			if quiet != nil {
				drained, quiet = false, time.After(drainQuiet)
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
		case <-s.wake.C():
		case <-members.changed:
			var err error
			if members.changed, err = members.greet(); err != nil {
				return err
			}
		case <-draining:
			draining, quiet = nil, time.After(drainQuiet)
		case <-quiet:
			drained = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take returns all unsent answers. The slice that was taken before becomes the next unsent.
func (s *clientStream) take(before []answer) (answers []answer, pending int, ended error) {
	clear(before)
	s.mu.Lock()
	defer s.mu.Unlock()
	if cap(before) > keptAnswers && len(s.unsent) < cap(before)/8 {
		before = nil
	}
	answers, s.unsent = s.unsent, before[:0]
	return answers, s.pending, s.ended
}

// sendAll sends answers in batches of limited size. What they count for ends with each batch: send
// returns when the writer of the connection has taken all but little of a large one (package grpcserver).
func (s *clientStream) sendAll(answers []answer, send func(*api.ReplyBatch) error) error {
	for len(answers) > 0 {
		n := batchLen(answers)
		batch := &api.ReplyBatch{Replies: make([]*api.Reply, n)}
		for i, a := range answers[:n] {
			batch.Replies[i] = a.message()
		}
		err := send(batch)
		now := s.watch.now()
		for _, a := range answers[:n] {
			s.release(a, now)
		}
		if err != nil {
			for _, a := range answers[n:] {
				s.release(a, now)
			}
			return err
		}
		answers = answers[n:]
	}
	return nil
}

// batchLen returns how many of the answers make the next batch, at least one.
func batchLen(answers []answer) int {
	size := 0
	for i, a := range answers {
		size += int(a.size) + replyOverhead
		if i > 0 && size > maxBatchBytes {
			return i
		}
	}
	return len(answers)
}

// close drops all unsent replies, and those that come later.
func (s *clientStream) close() {
	s.mu.Lock()
	answers, parked := s.unsent, s.parked
	s.unsent, s.parked, s.closed = nil, nil, true
	s.mu.Unlock()
	for _, p := range parked {
		s.account.Leave(costOf(p.req))
	}
	for _, a := range answers {
		s.release(a, s.watch.now())
	}
}
