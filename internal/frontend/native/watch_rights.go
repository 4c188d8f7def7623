package native

import (
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

// rights are what the user of a stream watches, and whether it may. The stream's lock guards them,
// so that no change comes between the check of a new watcher and its place among the others.
type rights struct {
	control *access.Control // nil: everybody may watch everything
	user    access.User
	spans   map[int64]kv.Span // by id of the watcher
	// checked is with which all watchers were found to be allowed, replaced is closed when there is
	// another one. They belong to the goroutine that sends.
	checked  *auth.Table
	replaced <-chan struct{}
}

func newRights(c *access.Control, u access.User) rights {
	r := rights{control: c, user: u, spans: map[int64]kv.Span{}}
	r.checked, r.replaced = c.Auth()
	return r
}

// allow tells whether a watcher may be made.
func (r *rights) allow(w watch.Request) error {
	if r.control == nil {
		return nil
	}
	return r.control.Readable(r.user, w.Span)
}

// add notes a watcher that was made.
func (r *rights) add(w watch.Request) {
	if r.control != nil {
		r.spans[w.ID] = w.Span
	}
}

func (r *rights) remove(ids []int64) {
	for _, id := range ids {
		delete(r.spans, id)
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
	for _, span := range r.spans {
		if t.Check(r.user.Name, r.user.Stamp, span, false) != kv.CodeOK {
			return errRightsChanged
		}
	}
	r.checked, r.replaced = t, replaced
	return nil
}
