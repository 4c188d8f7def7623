package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/internal/wake"
	"balsa.example/kv/watch"
)

const (
	// markInterval is how often a watcher to whom nothing happens is told how far it is.
	markInterval = 5 * time.Second
	// maxOutputs is how much of what the hub hands out is sent before the stream looks whether it
	// is to end. Any of it may take the time of reading a part of the history.
	maxOutputs = 128
	// memoryWait is how long a stream waits before it looks again whether there is memory for
	// what it sends.
	memoryWait = 20 * time.Millisecond
)

var (
	errNoLeader = errors.New("this server has known no leader for three election timeouts")
	errStopping = errors.New("server is stopping")
	// errAnswersUnread ends a stream whose client makes and ends watchers, and does not read
	// what becomes of that.
	errAnswersUnread = status.Error(codes.ResourceExhausted, "the answers to requests for watchers are not read")
)

// watchStream is one stream of watchers. One goroutine receives requests and hands them to
// the hub (receive), another sends what the hub hands out (send). Neither waits for the other:
// while the client does not read, events stay in the hub, which counts their bytes.
type watchStream struct {
	events *watch.Stream
	// What the stream sends counts in requests, its watchers in watchers.
	requests, watchers *clients.Account
	wake               wake.Signal // for send
	message            api.WatchMessage

	requireLeader atomic.Bool
	rights        rights

	mu      sync.Mutex
	counted int   // the watchers that count
	ended   error // why no more requests come; nil while they may
	closed  bool  // send has returned
}

func newWatchStream(hub *watch.Hub, requests, watchers *clients.Account) *watchStream {
	s := &watchStream{requests: requests, watchers: watchers, wake: wake.New()}
	s.events = hub.NewStream(s.wake.Set)
	return s
}

// receive carries out the requests that come in, until the client sends no more.
func (s *watchStream) receive(recv func() (*api.WatchRequest, error)) error {
	for {
		req, err := recv()
		if err == nil {
			err = s.handle(req)
		}
		if err != nil {
			s.mu.Lock()
			s.ended = err
			s.mu.Unlock()
			s.wake.Set()
			return err
		}
	}
}

// handle carries out one request. It waits for nothing.
func (s *watchStream) handle(req *api.WatchRequest) error {
	if req.RequireLeader {
		s.requireLeader.Store(true)
	}
	for _, c := range req.Create {
		if s.create(c) != nil {
			return errAnswersUnread
		}
	}
	for _, id := range req.Cancel {
		if s.events.Cancel(int64(id)) != nil {
			return errAnswersUnread
		}
	}
	if req.Progress {
		s.events.AskProgress()
	}
	return nil
}

// create makes a watcher, or tells the client why not.
func (s *watchStream) create(c *api.WatchCreate) error {
	r, err := translate.WatchRequest(c)
	if err == nil {
		err = s.watch(r)
	}
	if err == nil || errors.Is(err, watch.ErrUnread) {
		return err
	}
	return s.events.Refuse(r.ID, err)
}

// watch makes a watcher that counts.
func (s *watchStream) watch(r watch.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return watch.ErrClosed
	}
	switch s.watchers.Enter(0) {
	case clients.OverClient:
		return fmt.Errorf("this client: %w", watch.ErrTooMany)
	case clients.OverServer:
		return fmt.Errorf("this server: %w", watch.ErrTooMany)
	}
	err := s.rights.allow(r)
	if err == nil {
		err = s.events.Watch(r)
	}
	if err == nil || errors.Is(err, watch.ErrUnread) {
		s.counted++
		s.rights.add(r)
	} else {
		s.watchers.Leave(0)
	}
	return err
}

// uncount notes that watchers have ended.
func (s *watchStream) uncount(ids []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rights.remove(ids)
	s.counted -= len(ids)
	for range ids {
		s.watchers.Leave(0)
	}
}

// checkRights ends the stream if its user may not watch something any more.
func (s *watchStream) checkRights() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rights.check()
}

// surroundings are what ends a stream, or its watchers, from outside.
type surroundings struct {
	draining <-chan struct{} // closed when the server stops
	// leaderless returns a channel that is closed when the server has known no leader for long.
	leaderless func() <-chan struct{}
}

// send sends what the watchers are due, until the client sends no more requests, the server
// stops or ctx ends. It returns the status with which the stream ends.
func (s *watchStream) send(ctx context.Context, around surroundings, send func(*api.WatchMessage) error) error {
	defer s.close()
	marks := time.NewTicker(markInterval)
	defer marks.Stop()
	for stopping := false; ; {
		if err := s.sendAll(ctx, send); err != nil {
			return err
		}
		watchers, ended := s.state()
		switch {
		case errors.Is(ended, io.EOF):
			return nil
		case ended != nil:
			return ended
		case stopping:
			return status.Error(codes.Unavailable, errStopping.Error())
		}
		var leaderless <-chan struct{}
		if s.requireLeader.Load() && watchers > 0 {
			leaderless = around.leaderless()
		}
		select {
		case <-s.wake.C():
		case <-marks.C:
			s.events.Mark()
		case <-s.rights.replaced:
		case <-leaderless:
			s.events.CancelAll(errNoLeader)
		case <-around.draining:
			stopping = true
			s.events.CancelAll(errStopping)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *watchStream) state() (watchers int, ended error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counted, s.ended
}

// close ends the watchers.
func (s *watchStream) close() {
	s.mu.Lock()
	s.closed = true
	for range s.counted {
		s.watchers.Leave(0)
	}
	s.counted = 0
	s.mu.Unlock()
	s.events.Close()
}

// sendAll sends what there is. If that is much it returns in between, so that the stream can end,
// and is called again. What a client has not read yet is in one message at most.
func (s *watchStream) sendAll(ctx context.Context, send func(*api.WatchMessage) error) error {
	for s.requests.Enter(maxBatchBytes) != clients.Allowed {
		select {
		case <-time.After(memoryWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer s.requests.Leave(maxBatchBytes)
	for range maxOutputs {
		out, ok := s.events.Next(maxBatchBytes)
		// What is handed out may be of a time when a right was gone.
		if err := s.checkRights(); err != nil {
			return err
		}
		if !ok {
			return s.flush(send)
		}
		if err := s.add(out, send); err != nil {
			return err
		}
	}
	s.wake.Set()
	return s.flush(send)
}

// add puts what the hub hands out into the message, which it sends whenever it is full.
func (s *watchStream) add(out *watch.Output, send func(*api.WatchMessage) error) error {
	if out.Kind == watch.Canceled {
		s.uncount(out.IDs)
	}
	update := translate.WatchUpdate(out)
	var events [][]byte
	size := s.message.Size()
	for _, b := range out.Batches {
		for _, part := range b.Encoded(watch.NativeFace, translate.WatchEvents) {
			if size += len(part); size > maxBatchBytes && size > len(part) {
				if err := s.put(update, events, send); err != nil {
					return err
				}
				if err := s.flush(send); err != nil {
					return err
				}
				events, size = nil, len(part)
			}
			events = append(events, part)
		}
	}
	return s.put(update, events, send)
}

// put adds an update to the message.
func (s *watchStream) put(u *api.WatchUpdate, events [][]byte, send func(*api.WatchMessage) error) error {
	if u.Kind == api.WatchUpdate_EVENTS && len(events) == 0 {
		return nil
	}
	if err := s.message.Add(u, events); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	if s.message.Size() < maxBatchBytes {
		return nil
	}
	return s.flush(send)
}

// flush sends the message, if it says anything.
func (s *watchStream) flush(send func(*api.WatchMessage) error) error {
	if s.message.Size() == 0 {
		return nil
	}
	err := send(&s.message)
	s.message.Reset()
	return err
}
