package clerk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"balsa.example/api"
	"balsa.example/internal/wake"
)

const (
	// maxUnread is how many bytes may wait for one watch to take them. Beyond that its watcher
	// is ended, and made anew when they are taken: the server keeps what follows.
	maxUnread = 1 << 20
	// maxCreates bounds how many watchers one request asks for.
	maxCreates = 1 << 10
	// watchPing is how often a server is pinged while its watchers are told nothing.
	watchPing = 2 * time.Second
)

// errPaused ends a watcher of which more than maxUnread bytes wait.
var errPaused = errors.New("the updates are not taken")

// WatchCaller is a Caller that can make watchers.
type WatchCaller interface {
	Caller
	// Watch makes a watcher at the server at address. The Caller gives it an id of its own.
	Watch(address string, create *api.WatchCreate) (Subscription, error)
}

// Subscription is a watcher at one server.
type Subscription interface {
	// Next returns what the watcher is told next. It waits until ctx ends. After an error other
	// than ctx's there is nothing more.
	Next(ctx context.Context) (*api.WatchUpdate, error)
	// Close ends the watcher.
	Close()
}

// watchLink has all watchers at one server. They share a stream. Three goroutines serve all: run
// sends requests, receive hands out what comes, and watchSilence looks after the connection.
type watchLink struct {
	link *link
	wake wake.Signal // creates, cancels or watchers may have changed

	mu       sync.Mutex
	watchers map[uint64]*subscription // those that were asked for, and have not ended
	creates  []*api.WatchCreate       // not sent yet
	cancels  []uint64
	lastID   uint64
	closed   bool
	heard    bool // anything, since the last ping
}

// subscription is one watcher of a watchLink.
type subscription struct {
	link  *watchLink
	id    uint64
	ready wake.Signal

	// Guarded by link.mu:
	updates []*api.WatchUpdate
	bytes   int
	// partial: the last update ends within a revision. What follows belongs to it, and is taken whatever waits: a revision is
	// handed out as a whole, and would be asked for anew again and again.
	partial bool
	err     error // why no more updates come
}

func newWatchLink(l *link) *watchLink {
	return &watchLink{link: l, wake: wake.New(), watchers: make(map[uint64]*subscription)}
}

// Watch implements WatchCaller.
func (n *network) Watch(address string, create *api.WatchCreate) (Subscription, error) {
	l, err := n.link(address)
	if err != nil {
		return nil, err
	}
	return n.watchLink(address, l).watch(create)
}

// watchLink returns that of a server. It is made at first use.
func (n *network) watchLink(address string, l *link) *watchLink {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.watches[address]
	if w == nil {
		w = newWatchLink(l)
		n.watches[address] = w
		if n.closed {
			w.closed = true
		} else {
			n.running.Go(func() { w.run(l.ctx) })
		}
	}
	return w
}

func (w *watchLink) watch(create *api.WatchCreate) (Subscription, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrClosed
	}
	w.lastID++
	s := &subscription{link: w, id: w.lastID, ready: wake.New()}
	create.Id = s.id
	w.watchers[s.id] = s
	w.creates = append(w.creates, create)
	w.wake.Set()
	return s, nil
}

// Next implements Subscription.
func (s *subscription) Next(ctx context.Context) (*api.WatchUpdate, error) {
	for {
		if u, err := s.take(); u != nil || err != nil {
			return u, err
		}
		select {
		case <-s.ready.C():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *subscription) take() (*api.WatchUpdate, error) {
	s.link.mu.Lock()
	defer s.link.mu.Unlock()
	if len(s.updates) == 0 {
		return nil, s.err
	}
	u := s.updates[0]
	s.updates[0] = nil
	s.updates = s.updates[1:]
	s.bytes -= updateBytes(u)
	return u, nil
}

// updateBytes is about what an update takes up.
func updateBytes(u *api.WatchUpdate) int {
	bytes := callOverhead
	for _, b := range u.Batches {
		for _, e := range b.Events {
			bytes += 2*callOverhead + len(e.GetEntry().GetKey()) + len(e.GetEntry().GetValue()) +
				len(e.GetPrev().GetKey()) + len(e.GetPrev().GetValue())
		}
	}
	return bytes
}

// Close implements Subscription.
func (s *subscription) Close() {
	s.link.mu.Lock()
	defer s.link.mu.Unlock()
	s.link.end(s, context.Canceled)
}

// end ends a watcher, at the server too. Caller holds mu.
func (w *watchLink) end(s *subscription, err error) {
	if w.watchers[s.id] != s {
		return
	}
	delete(w.watchers, s.id)
	s.err = err
	s.ready.Set()
	w.cancels = append(w.cancels, s.id)
	w.wake.Set()
}

// deliver hands an update to its watchers, who share it. Others have ended here, and the server
// does not know yet.
func (w *watchLink) deliver(updates []*api.WatchUpdate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = true
	for _, u := range updates {
		bytes := updateBytes(u)
		over := u.Kind == api.WatchUpdate_REFUSED || u.Kind == api.WatchUpdate_CANCELED
		for _, id := range u.Ids {
			s := w.watchers[id]
			switch {
			case s == nil:
				continue
			case len(s.updates) > 0 && s.bytes+bytes > maxUnread && !over && !s.partial:
				w.end(s, errPaused)
				continue
			case over:
				delete(w.watchers, id)
				s.err = errors.New("the watcher has ended")
			}
			s.updates = append(s.updates, u)
			s.bytes += bytes
			if n := len(u.Batches); n > 0 {
				s.partial = u.Batches[n-1].GetMore()
			}
			s.ready.Set()
		}
	}
}

// request returns the next request to send, nil if there is none.
func (w *watchLink) request() *api.WatchRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.creates) == 0 && len(w.cancels) == 0 {
		return nil
	}
	n := min(len(w.creates), maxCreates)
	r := &api.WatchRequest{RequireLeader: true, Create: w.creates[:n:n]}
	if w.creates = w.creates[n:]; len(w.creates) == 0 { // a watcher is canceled after it was created
		r.Cancel, w.cancels, w.creates = w.cancels, nil, nil
	}
	return r
}

// fail ends all watchers: they go on at another server.
func (w *watchLink) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.watchers {
		s.err = err
		s.ready.Set()
	}
	clear(w.watchers)
	w.creates, w.cancels = nil, nil
}

// run serves the watchers until ctx ends. It opens a stream when one is asked for.
func (w *watchLink) run(ctx context.Context) {
	for awaitWork(ctx, w.wake, nil) {
		if w.wanted() {
			w.fail(w.runStream(ctx))
			w.link.net.deaf.Set()
		}
	}
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.fail(ErrClosed)
}

// retire closes the link if it has no watchers, and tells whether.
func (w *watchLink) retire() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = len(w.watchers) == 0
	return w.closed
}

// wanted tells whether there are watchers.
func (w *watchLink) wanted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watchers) > 0
}

// runStream opens a stream and sends requests, until the stream breaks. It returns why.
func (w *watchLink) runStream(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	stream, err := w.open(ctx, cancel)
	if err != nil {
		return err
	}
	defer w.link.net.streaming()()
	broken := make(chan struct{})
	var cause error // set before broken is closed
	go func() {
		defer close(broken)
		cause = w.receive(stream)
	}()
	var work sync.WaitGroup
	work.Go(func() { w.watchSilence(ctx) })
	for sending := true; sending; {
		err := w.sendAll(stream.Send) // if it fails, the receiver gets the cause
		sending = err == nil && awaitWork(ctx, w.wake, broken)
	}
	cancel()
	<-broken
	work.Wait()
	return fmt.Errorf("stream broke: %w", cause)
}

func (w *watchLink) sendAll(send func(*api.WatchRequest) error) error {
	for r := w.request(); r != nil; r = w.request() {
		if err := send(r); err != nil {
			return err
		}
	}
	return nil
}

// open opens a stream and waits for the server's Hello, like link.open.
func (w *watchLink) open(ctx context.Context, cancel context.CancelFunc) (api.KV_WatchClient, error) {
	stream, first, err := greeted(ctx, w.link, cancel, api.NewKVClient(w.link.conn).Watch)
	if err != nil {
		return nil, err
	}
	w.deliver(first.Updates)
	return stream, nil
}

func (w *watchLink) receive(stream api.KV_WatchClient) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		w.link.net.hear(r.Hello)
		if w.stale(r.Updates) {
			return errStale
		}
		w.deliver(r.Updates)
	}
}

// stale tells whether the user of the stream is none any more, so that another token may help.
func (w *watchLink) stale(updates []*api.WatchUpdate) bool {
	login := w.link.net.login
	is := func(u *api.WatchUpdate) bool { return u.Code == api.Reply_UNAUTHENTICATED }
	if login == nil || !slices.ContainsFunc(updates, is) {
		return false
	}
	login.forget(w.link.lastToken())
	return true
}

// watchSilence asks the server for a sign of life whenever its watchers were told nothing for a
// time. The watchdog closes the connection if nothing comes: nobody else notices that a server
// has vanished.
func (w *watchLink) watchSilence(ctx context.Context) {
	tick := time.NewTicker(watchPing)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		silent := !w.heard && len(w.watchers) > 0
		w.heard = false
		w.mu.Unlock()
		if silent {
			w.link.pingNow(ctx)
		}
	}
}
