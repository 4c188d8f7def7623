package etcd

import (
	"context"
	"sync/atomic"
	"time"

	"balsa.example/internal/frontend/etcd/translate"
)

// entranceTimeout is how long a request waits for a member that has just been started. Clients of
// etcd see a connection that is not made yet then, and wait as well.
const entranceTimeout = 7 * time.Second

// Entrance lets requests through to a Face. Those that come before there is one wait for it: the
// port of a member is open before the member can answer.
type Entrance struct {
	face           atomic.Pointer[Face]
	refused        atomic.Pointer[translate.Error] // see Refuse
	waiting        func() string
	opened, closed context.Context
	open, close    context.CancelFunc
}

// NewEntrance returns an Entrance without a Face. waiting says what the member waits for; nil: it is
// starting.
func NewEntrance(waiting func() string) *Entrance {
	if waiting == nil {
		waiting = func() string { return "the server is starting" }
	}
	e := &Entrance{waiting: waiting}
	e.opened, e.open = context.WithCancel(context.Background())
	e.closed, e.close = context.WithCancel(context.Background())
	return e
}

// Open lets requests through to f.
func (e *Entrance) Open(f *Face) {
	e.face.Store(f)
	e.open()
}

// Refuse refuses requests at once, for a reason that lasts as long as the server. Clients ask another member.
func (e *Entrance) Refuse(why error) {
	e.refused.Store(&translate.Error{Code: translate.Unavailable, Text: "etcdserver: " + why.Error()})
}

// Close refuses requests from now on.
func (e *Entrance) Close() { e.close() }

// Closed ends when Close is called.
func (e *Entrance) Closed() context.Context { return e.closed }

// Opened is the Face, nil if there is none yet.
func (e *Entrance) Opened() *Face { return e.face.Load() }

// Face returns the Face, for which it waits until ctx ends. After entranceTimeout the member is
// unavailable, so that clients ask another one.
func (e *Entrance) Face(ctx context.Context) (*Face, error) {
	if e.closed.Err() != nil {
		return nil, translate.ErrStopped
	}
	if why := e.refused.Load(); why != nil {
		return nil, why
	}
	if f := e.Opened(); f != nil {
		return f, nil
	}
	timer := time.NewTimer(entranceTimeout)
	defer timer.Stop()
	select {
	case <-e.opened.Done():
		return e.Opened(), nil
	case <-e.closed.Done():
		return nil, translate.ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, &translate.Error{Code: translate.Unavailable, Text: "etcdserver: " + e.waiting()}
	}
}
