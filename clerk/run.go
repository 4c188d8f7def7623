package clerk

import (
	"context"
	"fmt"
	"strings"
	"time"

	"balsa.example/api"
)

// Caller carries one request to one server. The Clerk's own is a gRPC stream per
// server; a test may put anything in its place. It is used concurrently.
type Caller interface {
	// Call sends req to the server at address and returns its answer. It gives up when
	// ctx ends or timeout has passed. An error that wraps ErrNotSent says that the
	// request certainly never left, any other that it may have been executed. Call does
	// not change req, and may read it after it has returned.
	Call(ctx context.Context, address string, req *api.Request, timeout time.Duration) (Answer, error)

	// Node returns the node id that the server at address gave as its own, or 0 if that
	// is not known.
	Node(address string) uint64

	// Close ends all calls and returns when nothing is left of them.
	Close() error
}

// Answer is what came of a Call.
type Answer struct {
	Reply *api.Reply // nil with an error
	// Reached is a revision that the store had reached before the request left, the
	// newest known; 0 if none is.
	Reached uint64
	// Later, with an error other than ErrNotSent, is where the reply may still come. It may
	// be nil.
	Later Later
}

// stop says that nobody waits for a late reply.
func (a Answer) stop() {
	if a.Later != nil {
		a.Later.Stop()
	}
}

// Later is a reply that was given up, and may come all the same.
type Later interface {
	// Then has the reply given to take when it comes, once at most. Take does not block.
	Then(take func(*api.Reply))
	// Stop says that nobody wants the reply any more.
	Stop()
}

// check refuses what no server would take.
func (c *Clerk) check(req *api.Request) error {
	switch {
	case len(req.Key) == 0:
		return ErrEmptyKey
	case len(req.Key) > c.maxBytes:
		return fmt.Errorf("%w: key has %d bytes, the limit is %d", ErrTooLarge, len(req.Key), c.maxBytes)
	case len(req.Value) > c.maxBytes:
		return fmt.Errorf("%w: value has %d bytes, the limit is %d", ErrTooLarge, len(req.Value), c.maxBytes)
	}
	return nil
}

// ended returns why the operation should be given up, nil if it should not.
func (c *Clerk) ended(ctx context.Context) error {
	select {
	case <-c.done:
		return ErrClosed
	default:
		return ctx.Err()
	}
}

// servers is how many are known.
func (c *Clerk) servers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.route.Len()
}

// learn tells the Route who is who before it follows a hint.
func (c *Clerk) learn(r *api.Reply) {
	if r.Leader == nil {
		return
	}
	for i := range c.route.Len() {
		c.route.Learn(i, c.caller.Node(c.route.Server(i)))
	}
}

// refusal says why a reply does not end an operation, nil if it does.
func refusal(address string, r *api.Reply) error {
	var why error
	switch r.Code {
	case api.Reply_OK, api.Reply_VERSION_MISMATCH, api.Reply_NO_KEY, api.Reply_TOO_LARGE, api.Reply_INVALID:
		return answer(nil, r)
	case api.Reply_WRONG_LEADER:
		why = ErrWrongLeader
	case api.Reply_BUSY:
		why = ErrBusy
	case api.Reply_CHANGED:
		why = errChanged
	default:
		why = ErrUnavailable
	}
	return fmt.Errorf("%s: %w", address, annotate(why, r.Message))
}

// answer is the error that a final reply stands for.
func answer(req *api.Request, r *api.Reply) error {
	switch r.Code {
	case api.Reply_OK:
		return nil
	case api.Reply_VERSION_MISMATCH:
		return &VersionError{
			Expected: req.GetVersion(), Current: r.Version,
			CreateRevision: r.CreateRevision, ModRevision: r.ModRevision,
		}
	case api.Reply_NO_KEY:
		return ErrNoKey
	case api.Reply_TOO_LARGE:
		return annotate(ErrTooLarge, r.Message)
	default:
		return annotate(ErrInvalid, r.Message)
	}
}

func annotate(err error, message string) error {
	if message == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, message)
}

// conclude turns an Outcome into what the user gets.
func conclude(req *api.Request, out Outcome, ended, reason error) (*api.Reply, error) {
	switch out.Verdict {
	case Answered:
		if err := answer(req, out.Reply); err != nil {
			return nil, failure(req, err)
		}
		return out.Reply, nil
	case Maybe:
		last := ""
		if reason != nil {
			last = reason.Error()
		}
		return nil, failure(req, &maybeError{ended: ended, last: last})
	default:
		return nil, failure(req, &droppedError{ended: ended, reason: reason})
	}
}

// failure says which operation failed.
func failure(req *api.Request, err error) error {
	kind, key := strings.ToLower(req.Kind.String()), req.Key
	if len(key) > 64 {
		return fmt.Errorf("%s %q...: %w", kind, key[:64], err)
	}
	return fmt.Errorf("%s %q: %w", kind, key, err)
}
