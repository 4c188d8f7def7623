package clerk

import (
	"context"
	"iter"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// hedgeDelay is how long a server may take to answer before another one is asked besides.
const hedgeDelay = 200 * time.Millisecond

// answering returns the servers in the order in which they answer at all, and for one that does not why.
// What is asked of one server after the other is asked of those that answer first: one that is
// paused, or cut off, costs hedgeDelay, and not all the time that there is. A server is tried when those
// before it have failed, or taken hedgeDelay, or have answered and are not wanted.
func (c *Clerk) answering(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var work sync.WaitGroup
		defer work.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		type answer struct {
			address string
			err     error
		}
		rest := c.addresses()
		answers, awaited := make(chan answer, len(rest)), 0
		timer := time.NewTimer(hedgeDelay)
		defer timer.Stop()
		next := func() {
			if len(rest) > 0 {
				address := rest[0]
				rest = rest[1:]
				awaited++
				work.Go(func() { answers <- answer{address, c.answers(ctx, address)} })
				timer.Reset(hedgeDelay)
			}
		}
		for next(); awaited > 0; {
			select {
			case <-timer.C:
				next()
			case a := <-answers:
				if !yield(a.address, a.err) {
					return
				}
				awaited--
				next()
			}
		}
	}
}

// pinger is a Caller that can ask a server for any answer. The Clerk's own can.
type pinger interface {
	ping(ctx context.Context, address string) error
}

func (c *Clerk) answers(ctx context.Context, address string) error {
	if p, ok := c.caller.(pinger); ok {
		return p.ping(ctx, address)
	}
	return nil
}

// ping implements pinger. An error that the server itself gives is an answer as well.
func (n *network) ping(ctx context.Context, address string) error {
	l, err := n.link(address)
	if err != nil {
		return notSent(err)
	}
	defer l.awaitUnary()()
	err = l.check(ctx)
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return notSent(l.handshake.explain(err))
	}
	return nil
}
