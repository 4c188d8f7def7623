package native

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/internal/frontend/access"
	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/state/auth"
)

// errRightsChanged lets a client make its watchers anew, each from where it is. Those that the user
// may not have any more are refused then.
var errRightsChanged = status.Error(codes.Unavailable, "the rights of the user have changed")

// rights are what the user of a stream watches, and whether it may.
type rights struct {
	control *access.Control // nil: everybody may watch everything
	user    access.User

	mu sync.Mutex
	// spans are by id of the watcher. An id has several if its watchers have ended, and the client has
	// not been told yet: the oldest is first.
	spans map[int64][]kv.Span
	// checked is with which all watchers were found to be allowed, replaced is closed when there is
	// another one. They belong to the goroutine that sends.
	checked  *auth.Table
	replaced <-chan struct{}
}

func newRights(c *access.Control, u access.User) *rights {
	r := &rights{control: c, user: u, spans: map[int64][]kv.Span{}}
	r.checked, r.replaced = c.Auth()
	return r
}

// rightsTime bounds how long a watcher that is about to be refused waits for what the other servers have executed.
const rightsTime = 5 * time.Second

// watch lets make make a watcher, if the user may have it. This server may be behind the one that gave the user the
// right, so a refusal waits, at most until ctx ends. No change of rights comes between the last check and the
// watcher's place among the others.
func (r *rights) watch(ctx context.Context, w watch.Request, make func(watch.Request) error) error {
	if r.control == nil {
		return make(w)
	}
	ctx, cancel := context.WithTimeout(ctx, rightsTime)
	defer cancel()
	if err := r.control.AwaitReadable(ctx, r.user, w.Span); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.control.Readable(r.user, w.Span); err != nil {
		return err
	}
	err := make(w)
	if err == nil || errors.Is(err, watch.ErrUnread) {
		r.spans[w.ID] = append(r.spans[w.ID], w.Span)
	}
	return err
}

// remove forgets watchers whose end the client is told.
func (r *rights) remove(ids []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if left := r.spans[id]; len(left) > 1 {
			r.spans[id] = left[1:]
		} else {
			delete(r.spans, id)
		}
	}
}

// check finds out whether the user may still watch all of it, if users or roles have changed.
func (r *rights) check() error {
	if r.control == nil {
		return nil
	}
	t, replaced := r.control.Auth()
	if t == r.checked {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, spans := range r.spans {
		for _, span := range spans {
			if t.Check(r.user.Name, r.user.Stamp, span, false) != kv.CodeOK {
				return errRightsChanged
			}
		}
	}
	r.checked, r.replaced = t, replaced
	return nil
}
