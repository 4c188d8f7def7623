package native

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/internal/frontend/watching"
	"balsa.example/kv/watch"
)

// markInterval is how often a watcher to whom nothing happens is told how far it is.
const markInterval = 5 * time.Second

var (
	errNoLeader = errors.New("this server has known no leader for three election timeouts")
	errStopping = errors.New("server is stopping")
	// errAnswersUnread ends a stream whose client makes and ends watchers, and does not read
	// what becomes of that.
	errAnswersUnread = status.Error(codes.ResourceExhausted, "the answers to requests for watchers are not read")
)

// watchStream is one stream of watchers. One goroutine receives and another sends, see package
// watching.
type watchStream struct {
	*watching.Stream
	message       api.WatchMessage
	requireLeader atomic.Bool
	rights        *rights
}

func newWatchStream(hub *watch.Hub, bounds watching.Bounds, r *rights) *watchStream {
	return &watchStream{Stream: watching.New(hub, watch.NativeFace, bounds), rights: r}
}

// receive carries out the requests that come in, until the client sends no more.
func (s *watchStream) receive(ctx context.Context, recv func() (*api.WatchRequest, error)) error {
	return s.Receive(func() error {
		req, err := recv()
		if err != nil {
			return err
		}
		return s.handle(ctx, req)
	})
}

// handle carries out one request. It waits for nothing but what may give a user the right to a watcher.
func (s *watchStream) handle(ctx context.Context, req *api.WatchRequest) error {
	if req.RequireLeader {
		s.requireLeader.Store(true)
	}
	for _, c := range req.Create {
		if s.create(ctx, c) != nil {
			return errAnswersUnread
		}
	}
	for _, id := range req.Cancel {
		if s.Events.Cancel(int64(id), watch.ErrCanceled) != nil {
			return errAnswersUnread
		}
	}
	if req.Progress {
		s.Events.AskProgress()
	}
	return nil
}

// create makes a watcher, or tells the client why not.
func (s *watchStream) create(ctx context.Context, c *api.WatchCreate) error {
	r, err := translate.WatchRequest(c)
	if err == nil {
		err = s.rights.watch(ctx, r, s.Watch)
	}
	if err == nil || errors.Is(err, watch.ErrUnread) {
		return err
	}
	return s.Refuse(r.ID, err)
}

// surroundings are what ends a stream, or its watchers, from outside.
type surroundings struct {
	draining <-chan struct{} // closed when the server stops
	// leaderless returns a channel that is closed when the server has known no leader for long.
	leaderless func() <-chan struct{}
	members    heralds
}

// send sends what the watchers are due, until the client sends no more requests, the server
// stops or ctx ends. It returns the status with which the stream ends.
func (s *watchStream) send(ctx context.Context, around surroundings, send func(*api.WatchMessage) error) error {
	defer s.Close()
	marks := time.NewTicker(markInterval)
	defer marks.Stop()
	tell := func(out *watch.Output) error {
		// What is handed out may be of a time when a right was gone.
		if err := s.rights.check(); err != nil {
			return err
		}
		return s.add(out, send)
	}
	flush := func() error { return s.flush(send) }
	for stopping := false; ; {
		if err := s.rights.check(); err != nil {
			return err
		}
		if err := s.SendAll(ctx, tell, flush); err != nil {
			return err
		}
		watchers, ended := s.State()
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
		case <-s.Awake():
		case <-marks.C:
			s.Events.Mark()
		case <-s.rights.replaced:
		case <-around.members.changed:
			var err error
			if around.members.changed, err = around.members.greet(); err != nil {
				return err
			}
		case <-leaderless:
			s.Events.CancelAll(errNoLeader)
		case <-around.draining:
			stopping = true
			s.Events.CancelAll(errStopping)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// add puts what the hub hands out into the message, which it sends whenever it is full.
func (s *watchStream) add(out *watch.Output, send func(*api.WatchMessage) error) error {
	if out.Kind == watch.Canceled {
		s.rights.remove(out.IDs)
	}
	update := translate.WatchUpdate(out)
	var events [][]byte
	size := s.message.Size()
	for _, b := range out.Batches {
		for _, part := range b.Encoded(watch.NativeFace, translate.WatchEvents) {
			if size += len(part); size > watching.MaxBytes && size > len(part) {
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
	if s.message.Size() < watching.MaxBytes {
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
