package replica

import (
	"context"
	"sync"

	"balsa.example/internal/wake"
	"balsa.example/rsm"
	"balsa.example/state"
)

// forwardedKeepAlives are those that clients sent to a member that does not lead. It forwards them
// to the leader in batches, one at a time: those that come meanwhile are the next batch. The
// command has no stamp, so it carries no time on and ends no lease.
type forwardedKeepAlives struct {
	node forwarder
	wake wake.Signal
	background

	mu    sync.Mutex
	ended bool
	next  keepAliveBatch // at most maxKeepAlives
}

// forwarder is what forwardedKeepAlives need of an rsm.Node.
type forwarder interface {
	SubmitAnywhere(ctx context.Context, c state.Command) (state.Result, rsm.EntryID, error)
}

type keepAliveBatch struct {
	leases []int64
	done   []keepAliveDone
}

func newForwardedKeepAlives(node forwarder) *forwardedKeepAlives {
	f := &forwardedKeepAlives{node: node, wake: wake.New()}
	f.start(f.run)
	return f
}

// add takes in a keep-alive. done is called once, in another goroutine, or in this one if too many
// wait.
func (f *forwardedKeepAlives) add(lease int64, done keepAliveDone) {
	f.mu.Lock()
	var err error
	switch {
	case f.ended:
		err = rsm.ErrStopped
	case len(f.next.leases) >= maxKeepAlives:
		err = rsm.ErrBusy
	default:
		f.next.leases = append(f.next.leases, lease)
		f.next.done = append(f.next.done, done)
	}
	f.mu.Unlock()
	if err != nil {
		done(0, err)
		return
	}
	f.wake.Set()
}

func (f *forwardedKeepAlives) run(ctx context.Context) {
	for {
		select {
		case <-f.wake.C():
			f.forward(ctx, f.take(false))
		case <-ctx.Done():
			f.take(true).answer(nil, rsm.ErrStopped)
			return
		}
	}
}

// take returns the next batch. last: none is taken in any more.
func (f *forwardedKeepAlives) take(last bool) (b keepAliveBatch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, f.next, f.ended = f.next, keepAliveBatch{}, last
	return b
}

func (f *forwardedKeepAlives) forward(ctx context.Context, b keepAliveBatch) {
	if len(b.leases) == 0 {
		return
	}
	c := state.Command{More: &state.More{Kind: state.KindTick, Leases: b.leases}}
	r, _, err := f.node.SubmitAnywhere(ctx, c)
	b.answer(r.TTL, err)
}

// answer tells what is left of each lease, or err.
func (b keepAliveBatch) answer(ttl []int64, err error) {
	for i, done := range b.done {
		if err != nil {
			done(0, err)
		} else {
			done(ttl[i], nil)
		}
	}
}
