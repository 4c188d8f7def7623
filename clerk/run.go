package clerk

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"balsa.example/api"
)

// Caller carries one request to one server. The Clerk's own one has a gRPC stream per
// server; a test may replace it. It is used concurrently.
type Caller interface {
	// Call sends req to the server at address and returns its answer. It gives up when
	// ctx ends or timeout has passed. An error that wraps ErrNotSent says that the
	// request was certainly never sent; after any other error it may have been executed.
	// Call does not change req, and may read it after it has returned.
	Call(ctx context.Context, address string, req *api.Request, timeout time.Duration) (Answer, error)

	// Node returns the node id of the server at address, as that server has told it; 0: not
	// known.
	Node(address string) uint64

	// Close ends all calls. When it returns, no goroutine of the Caller runs any more.
	Close() error
}

// MemberCaller is an interface that a Caller may implement too. The Clerk's own does.
type MemberCaller interface {
	// OnMembers is called once, before any Call. The Caller tells from then on who the members are,
	// whenever a server says so: at which revision of the store, and where clients find them.
	OnMembers(tell func(members []*api.Leader, revision uint64))
}

// Answer is the result of a Call.
type Answer struct {
	Reply *api.Reply // nil with an error
	// Reached is the newest revision that the store is known to have reached before the
	// request was sent; 0: none is known.
	Reached uint64
	// Pending, with an error other than ErrNotSent, is where the reply may still come. It
	// may be nil.
	Pending PendingReply
}

// stop says that the reply is not wanted any more.
func (a Answer) stop() {
	if a.Pending != nil {
		a.Pending.Stop()
	}
}

// PendingReply is a reply that did not come in time and may still come.
type PendingReply interface {
	// Then calls take with the reply when it comes, once at most. take does not block.
	Then(take func(*api.Reply))
	// Stop says that the reply is not wanted any more.
	Stop()
}

// check refuses requests that no server would accept. It returns about how many bytes a request has.
func (c *Clerk) check(req *api.Request) (bytes int, err error) {
	if !onKey(req.Kind) {
		if bytes = requestBytes(req); bytes > c.maxBytes {
			err = fmt.Errorf("%w: request has %d bytes, the limit is %d", ErrTooLarge, bytes, c.maxBytes)
		}
		return bytes, err
	}
	switch {
	case len(req.Key) == 0:
		err = ErrEmptyKey
	case len(req.Key) > c.maxBytes:
		err = fmt.Errorf("%w: key has %d bytes, the limit is %d", ErrTooLarge, len(req.Key), c.maxBytes)
	case len(req.Value) > c.maxBytes:
		err = fmt.Errorf("%w: value has %d bytes, the limit is %d", ErrTooLarge, len(req.Value), c.maxBytes)
	}
	return len(req.Key) + len(req.Value), err
}

// onKey tells whether a kind of request is an operation on the one key that it names.
func onKey(k api.Request_Kind) bool {
	return k == api.Request_GET || k == api.Request_PUT || k == api.Request_DELETE
}

// requestBytes is about the size of a request on the wire.
func requestBytes(req *api.Request) int {
	if req.Call == nil {
		return len(req.Key) + len(req.Value) + callOverhead
	}
	return req.Size()
}

// ended returns why the operation should be given up, nil if it should go on.
func (c *Clerk) ended(ctx context.Context) error {
	select {
	case <-c.done:
		return ErrClosed
	default:
		return ctx.Err()
	}
}

// servers returns how many servers are known.
func (c *Clerk) servers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.route.Len()
}

// learn tells the Route the node ids of its servers, before it follows a hint.
func (c *Clerk) learn(r *api.Reply) {
	if r.Leader == nil {
		return
	}
	for i := range c.route.Len() {
		c.route.Learn(i, c.caller.Node(c.route.Server(i)))
	}
}

// refusal returns why a reply does not end an operation, nil if it does.
func refusal(address string, r *api.Reply) error {
	var why error
	switch r.Code {
	case api.Reply_WRONG_LEADER:
		why = ErrWrongLeader
	case api.Reply_BUSY:
		why = ErrBusy
	case api.Reply_CHANGED:
		why = errChanged
	case api.Reply_UNAVAILABLE, api.Reply_UNKNOWN:
		why = ErrUnavailable
	default:
		if final(r.Code) {
			return answer(nil, r)
		}
		why = ErrUnavailable
	}
	return fmt.Errorf("%s: %w", address, annotate(why, r.Message))
}

// answer returns the error that a final reply stands for.
func answer(req *api.Request, r *api.Reply) error {
	switch r.Code {
	case api.Reply_OK:
		return nil
	case api.Reply_VERSION_MISMATCH:
		return &VersionError{
			Expected: req.GetVersion(), Current: r.Version,
			CreateRevision: r.CreateRevision, ModRevision: r.ModRevision,
		}
	}
	if err := codeErrors[r.Code]; err != nil {
		return annotate(err, r.Message)
	}
	return annotate(ErrInvalid, r.Message)
}

func annotate(err error, message string) error {
	if message == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, strings.TrimPrefix(message, err.Error()+": "))
}

// conclude returns the result of an operation to its caller.
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

// failure adds to an error which operation failed.
func failure(req *api.Request, err error) error {
	kind := strings.ToLower(strings.ReplaceAll(req.Kind.String(), "_", " "))
	switch {
	case onKey(req.Kind):
		return fmt.Errorf("%s %s: %w", kind, quote(req.Key), err)
	case req.GetRange() != nil:
		return fmt.Errorf("%s %s: %w", kind, quoteSpan(req.GetRange().GetSpan()), err)
	case req.GetDeleteRange() != nil:
		return fmt.Errorf("%s %s: %w", kind, quoteSpan(req.GetDeleteRange().GetSpan()), err)
	case req.GetLease() != nil:
		return fmt.Errorf("%s %016x: %w", kind, req.GetLease().GetId(), err)
	default:
		return fmt.Errorf("%s: %w", kind, err)
	}
}

// quote quotes a key, or the beginning of a long one.
func quote(key []byte) string {
	if len(key) > 64 {
		return strconv.Quote(string(key[:64])) + "..."
	}
	return strconv.Quote(string(key))
}

func quoteSpan(s *api.Span) string {
	if s.GetOpen() {
		return "from " + quote(s.GetFrom())
	}
	if from := string(s.GetFrom()); string(s.GetTo()) == Key(from).To {
		return quote(s.GetFrom())
	}
	return quote(s.GetFrom()) + " to " + quote(s.GetTo())
}
