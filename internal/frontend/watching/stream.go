package watching

import (
	"context"
	"errors"
	"sync"
	"time"

	"balsa.example/internal/wake"
	"balsa.example/kv/watch"
)

const (
	// MaxBytes is about how much the hub hands out at once, in bytes. A revision may have more.
	MaxBytes = 31 << 10
	// maxOutputs is how much of what the hub hands out is sent before the stream looks whether it
	// is to end. Any of it may take the time of reading a part of the history.
	maxOutputs = 128
	// memoryWait is how long a stream waits before it looks again whether there is memory for
	// what it sends.
	memoryWait = 20 * time.Millisecond
)

// Bounds counts what a client has. Any goroutine may call its methods.
type Bounds interface {
	// AddWatcher counts a watcher, or tells why the client may have no more.
	AddWatcher() error
	RemoveWatchers(n int)
	// Reserve counts bytes that are being sent, as one item. It returns false if there is no room
	// now.
	Reserve(bytes int64) bool
	Release(bytes int64)
}

// Stream is one stream of watchers.
type Stream struct {
	Events *watch.Stream
	bounds Bounds
	wake   wake.Signal // for the goroutine that sends
	held   int64       // bytes that count for what SendAll sends; its goroutine's

	mu      sync.Mutex
	counted int   // the watchers that count
	ended   error // why no more requests come; nil while they may
	closed  bool
}

// New returns a stream without watchers, whose batches a face encodes.
func New(hub *watch.Hub, face watch.Face, bounds Bounds) *Stream {
	s := &Stream{bounds: bounds, wake: wake.New()}
	s.Events = hub.NewStream(face, s.wake.Set)
	return s
}

// Receive calls handle for each request, until it fails: with io.EOF when the client sends no more.
func (s *Stream) Receive(handle func() error) error {
	for {
		if err := handle(); err != nil {
			s.mu.Lock()
			s.ended = err
			s.mu.Unlock()
			s.wake.Set()
			return err
		}
	}
}

// Watch makes a watcher that counts. Its errors are those of watch.Stream.Watch, and of Bounds.
func (s *Stream) Watch(r watch.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return watch.ErrClosed
	}
	if err := s.bounds.AddWatcher(); err != nil {
		return err
	}
	err := s.Events.Watch(r)
	if err == nil || errors.Is(err, watch.ErrUnread) {
		s.counted++
	} else {
		s.bounds.RemoveWatchers(1)
	}
	return err
}

// Refuse lets the client know that a watcher was not made.
func (s *Stream) Refuse(id int64, err error) error { return s.Events.Refuse(id, err) }

// uncount notes that watchers have ended.
func (s *Stream) uncount(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted -= n
	s.bounds.RemoveWatchers(n)
}

// State tells how many watchers there are, and why no more requests come; nil while they may.
func (s *Stream) State() (watchers int, ended error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counted, s.ended
}

// Awake delivers a value when there is something to send, or no more requests come.
func (s *Stream) Awake() <-chan struct{} { return s.wake.C() }

// Close ends the stream and its watchers.
func (s *Stream) Close() {
	s.mu.Lock()
	s.closed = true
	watchers := s.counted
	s.mu.Unlock()
	s.uncount(watchers)
	s.Events.Close()
}

// SendAll calls tell with what there is for the client, and flush when that is all. If there is
// much it returns in between, so that the stream can end; Awake delivers a value then. What a client
// has not read yet is what tell and flush hold.
func (s *Stream) SendAll(ctx context.Context, tell func(*watch.Output) error, flush func() error) error {
	if err := s.Hold(ctx, MaxBytes); err != nil {
		return err
	}
	defer s.drop()
	for range maxOutputs {
		out, ok := s.Events.Next(MaxBytes)
		if !ok {
			return flush()
		}
		if out.Kind == watch.Canceled {
			s.uncount(len(out.IDs))
		}
		if err := tell(out); err != nil {
			return err
		}
	}
	s.wake.Set()
	return flush()
}

// Hold changes how many bytes count for what SendAll sends, as soon as there is room for them. It holds none while it
// waits: streams of a client that have a part each would wait for one another for ever.
func (s *Stream) Hold(ctx context.Context, bytes int64) error {
	s.drop()
	err := Reserve(ctx, s.bounds, bytes)
	if err == nil {
		s.held = bytes
	}
	return err
}

// drop takes back Hold.
func (s *Stream) drop() {
	if s.held > 0 {
		s.bounds.Release(s.held)
		s.held = 0
	}
}

// Reserve counts bytes that are being sent, as soon as there is room for them. The error is that of ctx.
func Reserve(ctx context.Context, b Bounds, bytes int64) error {
	for !b.Reserve(bytes) {
		select {
		case <-time.After(memoryWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
