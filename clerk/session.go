package clerk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"balsa.example/api"
)

// sessions is the session of a Clerk, or one after the other where they end.
type sessions struct {
	clerk *Clerk
	ttl   time.Duration

	mu      sync.Mutex
	current *session      // nil: none is open
	opening chan struct{} // closed when an attempt to open one has ended; nil: there is none
}

// session is one session while writes use it.
type session struct {
	lease *Lease

	mu       sync.Mutex
	sequence sequence
	room     chan struct{} // closed when a number has become free; nil if nobody waits for that
}

func newSessions(c *Clerk, ttl time.Duration) *sessions { return &sessions{clerk: c, ttl: ttl} }

// write runs a request that changes something: in the session, if the Clerk has one.
func (c *Clerk) write(ctx context.Context, req *api.Request) (*api.Reply, error) {
	if c.session == nil || reads(req) {
		return c.do(ctx, req)
	}
	if _, err := c.check(req); err != nil {
		return nil, failure(req, err)
	}
	for refused, ended := (*session)(nil), (*session)(nil); ; {
		s, err := c.session.get(ctx, ended)
		if err != nil {
			return nil, failure(req, err)
		}
		r, err := s.write(ctx, c, req)
		if !isRefusal(err, errSessionEnded) {
			return r, err
		}
		// It was not executed. A server that is short of memory has forgotten the number, or the
		// session has ended: another number tells.
		if refused == s {
			ended = s
		}
		refused = s
	}
}

// write runs a request under a number of the session.
func (s *session) write(ctx context.Context, c *Clerk, req *api.Request) (*api.Reply, error) {
	name, err := s.begin(ctx, c)
	if err != nil {
		return nil, failure(req, err)
	}
	defer s.settle(name.Seq)
	req = req.Copy()
	req.Session = name
	return c.do(ctx, req)
}

// begin returns the name of a new write. It waits while too many are outstanding.
func (s *session) begin(ctx context.Context, c *Clerk) (*api.Session, error) {
	for {
		name, room := s.tryBegin()
		if name != nil {
			return name, nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return nil, &droppedError{ended: ctx.Err(), reason: errOutstanding}
		case <-c.done:
			return nil, &droppedError{ended: ErrClosed}
		}
	}
}

func (s *session) tryBegin() (*api.Session, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.sequence.next(); n != 0 {
		return &api.Session{Id: s.lease.id, Seq: n, Acked: s.sequence.acked}, nil
	}
	if s.room == nil {
		s.room = make(chan struct{})
	}
	return nil, s.room
}

// settle notes that nobody waits for the outcome of a write any more.
func (s *session) settle(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sequence.settle(n) && s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// get returns the open session, or opens one. It is not the one that has ended.
func (s *sessions) get(ctx context.Context, ended *session) (*session, error) {
	for {
		current, opening, mine := s.peek(ended)
		if current != nil {
			return current, nil
		}
		if mine {
			return s.open(ctx, opening)
		}
		select {
		case <-opening:
		case <-ctx.Done():
			return nil, &droppedError{ended: ctx.Err()}
		case <-s.clerk.done:
			return nil, &droppedError{ended: ErrClosed}
		}
	}
}

// peek returns the open session; else the attempt to open one, which is mine to make if there
// was none.
func (s *sessions) peek(ended *session) (current *session, opening chan struct{}, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && (s.current == ended || s.current.lease.Lost()) {
		s.clerk.keeper.remove(s.current.lease) // other writes may still get their outcomes from it
		s.current = nil
	}
	if s.current != nil {
		return s.current, nil, false
	}
	if mine = s.opening == nil; mine {
		s.opening = make(chan struct{})
	}
	return nil, s.opening, mine
}

func (s *sessions) open(ctx context.Context, opening chan struct{}) (*session, error) {
	lease, err := s.clerk.grant(ctx, s.ttl, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opening = nil
	close(opening)
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", withoutDoubt(err))
	}
	s.current = &session{lease: lease}
	return s.current, nil
}

// withoutDoubt returns an error that is not ErrMaybe, of a write that was not sent since another
// one failed.
func withoutDoubt(err error) error {
	var maybe *maybeError
	if errors.As(err, &maybe) {
		return &droppedError{ended: maybe.ended, reason: errors.New(maybe.last)}
	}
	return err
}

var errOutstanding = errors.New("too many writes of the session are without an outcome")

// isRefusal tells whether an operation was refused with an error, and certainly not executed.
func isRefusal(err, refusal error) bool { return errors.Is(err, refusal) && !errors.Is(err, ErrMaybe) }
