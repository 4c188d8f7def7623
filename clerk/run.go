package clerk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"balsa/api"
)

// Caller carries one request to one server. The Clerk's own is a gRPC stream per
// server; a test may put anything in its place. It is used concurrently.
type Caller interface {
	// Call sends req to the server at address and returns its answer. It gives up when
	// ctx ends or timeout has passed. An error that wraps ErrNotSent says that the
	// request certainly never left, any other that it may have been executed. Call does
	// not change req, and may read it after it has returned.
	Call(ctx context.Context, address string, req *api.Request, timeout time.Duration) (*api.Reply, error)

	// Node returns the node id that the server at address gave as its own, or 0 if that
	// is not known.
	Node(address string) uint64

	// Close ends all calls and returns when nothing is left of them.
	Close() error
}

// Opener is what a Caller may offer besides calls. The Clerk's own does.
type Opener interface {
	// Opened returns a revision that the store had reached before the Caller sent any
	// request, or 0 if that is not known. It is always the same once it is known.
	Opened() uint64
}

// do runs an operation to its end: the shell of an Op.
func (c *Clerk) do(ctx context.Context, req *api.Request) (*api.Reply, error) {
	if err := c.check(req); err != nil {
		return nil, failure(req, err)
	}
	var (
		op      Op
		step    Step
		address string
		ended   error // why the operation was given up
		reason  error // why the last attempt did not end it
		unfit   misfits
	)
	// decide lets the Op choose its next step. It is the only use of the Route.
	decide := func(choose func() Step) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if o, ok := c.caller.(Opener); ok {
			c.route.Opened(o.Opened())
		}
		step = choose()
		if step.Action == Ask {
			address = c.route.Server(step.Server)
			req = demanding(req, step.UnchangedSince)
		}
	}
	decide(func() Step {
		op = NewOp(c.route, c.rand, c.pace, req)
		first := op.Start()
		req.UnchangedSince = first.UnchangedSince // nobody else has req yet
		return first
	})
	for step.Action != End {
		if ended = c.ended(ctx); ended != nil {
			decide(func() Step { return op.Cancel(false) })
			break
		}
		if step.Action == Wait {
			c.sleep(ctx, time.Duration(step.Nanos))
			decide(op.Woke)
			continue
		}
		reply, err := c.caller.Call(ctx, address, req, time.Duration(step.Nanos))
		unfit.note(address, err)
		switch {
		case err == nil:
			reason = refusal(address, reply)
			decide(func() Step {
				c.learn(reply)
				return op.Reply(reply)
			})
		default:
			sent := !errors.Is(err, ErrNotSent)
			if ended = c.ended(ctx); ended != nil {
				decide(func() Step { return op.Cancel(sent) })
				break
			}
			if ended = unfit.verdict(c.servers()); ended != nil {
				reason = nil // ended tells it
				decide(func() Step { return op.Cancel(sent) })
				break
			}
			reason = fmt.Errorf("%s: %w: %w", address, ErrUnavailable, err)
			decide(func() Step { return op.Lost(sent) })
		}
	}
	return conclude(req, op.Outcome(), ended, unfit.besides(reason))
}

// servers is how many are known.
func (c *Clerk) servers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.route.Len()
}

// demanding returns the request with another UnchangedSince. It leaves req alone, which
// an earlier attempt may still read.
func demanding(req *api.Request, unchangedSince uint64) *api.Request {
	if req.UnchangedSince == unchangedSince {
		return req
	}
	return &api.Request{
		Kind:           req.Kind,
		Key:            req.Key,
		Value:          req.Value,
		Conditional:    req.Conditional,
		Version:        req.Version,
		Consistency:    req.Consistency,
		UnchangedSince: unchangedSince,
	}
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

// sleep lets d pass, or less if the operation is to be given up.
func (c *Clerk) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-c.done:
	}
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
