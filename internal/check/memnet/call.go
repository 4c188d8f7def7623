package memnet

import (
	"context"
	"errors"
	"time"

	"balsa.example/raft"
)

var (
	// ErrUnreachable says that no server could be reached: the call was not made.
	ErrUnreachable = errors.New("memnet: server unreachable")
	// ErrLost says that the request or its reply was lost. Whether the server has
	// handled the call is unknown.
	ErrLost = errors.New("memnet: no reply")
)

const (
	// giveUpMax bounds how long a call that fails keeps its caller waiting.
	giveUpMax = 100 * time.Millisecond
	// giveUpLongMax does when the server is unreachable and LongDelays is on.
	giveUpLongMax = 7000 * time.Millisecond
)

// Call is a call of client to the server with the id to, which is handled by fn: a request is
// sent, fn runs if the server is up, and its result is sent back. Call may fail with
// ErrUnreachable or ErrLost, after a while. The context of fn ends with ctx and when the
// server stops. If the call fails for another reason fn goes on, since a server does not
// notice that its client has given up.
func Call[T any](ctx context.Context, n *Network, client string, to raft.NodeID, fn func(context.Context) (T, error)) (T, error) {
	n.mu.Lock()
	n.counts.Requests++
	n.counts.Messages += 2
	n.mu.Unlock()

	var reply struct {
		result T
		err    error
	}
	err := n.exchange(ctx, hop{call: true, client: client, to: to}, func(ctx context.Context, _ *session) {
		reply.result, reply.err = fn(ctx)
	})
	if err != nil {
		var none T
		return none, err // fn may still be running, and write to reply
	}
	return reply.result, reply.err
}

// exchange sends a request along h, runs handle at its end, and sends the reply back. handle
// has returned only if exchange returns nil.
func (n *Network) exchange(ctx context.Context, h hop, handle func(context.Context, *session)) error {
	f := n.draw(h)
	if !f.reachable {
		return n.fail(ctx, f.giveUp, ErrUnreachable)
	}
	if f.losesRequest {
		return n.fail(ctx, f.giveUp, ErrLost)
	}
	if err := n.sleep(ctx, f.requestDelay); err != nil {
		return err
	}
	to, done := n.begin(ctx, h, handle)
	if to == nil {
		return n.fail(ctx, f.giveUp, ErrLost)
	}
	if err := n.await(ctx, h.back(), to, done); err != nil {
		return n.failIfLost(ctx, f.giveUp, err)
	}
	if f.losesReply {
		return n.fail(ctx, f.giveUp, ErrLost)
	}
	if err := n.sleep(ctx, f.replyDelay); err != nil {
		return err
	}
	if ok, _ := n.connected(h.back(), nil); !ok {
		return n.fail(ctx, f.giveUp, ErrLost)
	}
	return nil
}

// outcome is the random faults and delays of one call.
type outcome struct {
	reachable                bool
	losesRequest, losesReply bool
	requestDelay, replyDelay time.Duration
	giveUp                   time.Duration
}

func (n *Network) draw(h hop) outcome {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := outcome{
		reachable:    n.up[h.to] != nil && n.faults.passes(h),
		losesRequest: n.faults.loses(n.rand),
		losesReply:   n.faults.loses(n.rand),
		requestDelay: n.faults.delay(n.rand, false),
		replyDelay:   n.faults.delay(n.rand, true),
	}
	longest := giveUpMax
	if !f.reachable && n.faults.longDelays {
		longest = giveUpLongMax
	}
	f.giveUp = time.Duration(n.rand.Int64N(int64(longest) + 1))
	return f
}

// begin starts handle at the server at the end of h. It returns that server's session, nil if
// there is none any more, and a channel that is closed when handle has returned.
func (n *Network) begin(ctx context.Context, h hop, handle func(context.Context, *session)) (*session, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to := n.up[h.to]
	if to == nil || n.closed || !n.faults.passes(h) {
		return nil, nil
	}
	if !h.call {
		to.deliveries.Add(1)
	}
	done := make(chan struct{})
	n.work.Go(func() {
		defer close(done)
		if !h.call {
			defer to.deliveries.Done()
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(to.ctx, cancel)()
		handle(ctx, to)
	})
	return to, done
}

// await waits for done. It fails with ErrLost if meanwhile the server stops, or the way back
// is cut.
func (n *Network) await(ctx context.Context, back hop, server *session, done <-chan struct{}) error {
	for {
		ok, changed := n.connected(back, server)
		if !ok {
			return ErrLost
		}
		select {
		case <-done:
			return nil
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ctx.Done():
			return ErrLost
		}
	}
}

// connected tells whether a message passes h, and that server, if not nil, is up.
// The channel is closed when this may have changed.
func (n *Network) connected(h hop, server *session) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return (server == nil || n.up[server.id] == server) && n.faults.passes(h), n.changed
}

// fail returns err after d.
func (n *Network) fail(ctx context.Context, d time.Duration, err error) error {
	n.mu.Lock()
	n.counts.Lost++
	n.mu.Unlock()
	if ended := n.sleep(ctx, d); ended != nil {
		return ended
	}
	return err
}

func (n *Network) failIfLost(ctx context.Context, d time.Duration, err error) error {
	if errors.Is(err, ErrLost) {
		return n.fail(ctx, d, err)
	}
	return err
}

func (n *Network) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.ctx.Done():
		return ErrLost
	}
}
