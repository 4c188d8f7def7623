package etcd

import (
	"context"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/kv"
	"balsa.example/kv/watch"
)

var watchMethods = []Method{
	// Each watcher is allowed or refused by itself.
	stream[pb.WatchRequest]("/etcdserverpb.Watch/Watch", Anyone, true, (*Face).Watch),
}

// Watches is what the Watch service stands on.
type Watches struct {
	Hub *watch.Hub
	// Leaderless returns a channel that is closed when the member has known no leader for three
	// election timeouts.
	Leaderless func() <-chan struct{}
	// Stopping is closed when the member stops: streams end then, and clients go on elsewhere.
	Stopping <-chan struct{}
	// ProgressInterval is how often watchers that ask for it are told how far they are, if
	// nothing happens. 10 min; at least 100 ms.
	ProgressInterval time.Duration
	// Rights are by the users and roles of the cluster if nil.
	Rights Rights
}

// Rights tell what callers may read.
type Rights interface {
	// Permitted returns why a caller may not read a span, as clients are told; nil: it may. It may
	// wait until the member has executed what others have, at most until ctx ends.
	Permitted(ctx context.Context, c *Caller, span kv.Span) error
	// Lost returns why a caller may not read a span any more that it was permitted to read, by what
	// the member has executed. It waits for nothing.
	Lost(c *Caller, span kv.Span) error
	// Changed returns a channel that is closed when rights change the next time. It is closed
	// before Hub is told of anything that is executed after the change.
	Changed() <-chan struct{}
}

const (
	defaultProgressInterval = 10 * time.Minute
	minProgressInterval     = 100 * time.Millisecond
	// jitterPart is the part of the interval by which it is longer, at most. Clients that came
	// at the same time need not be told at the same time.
	jitterPart = 10
)

// progressInterval is the interval of one stream.
func (w *Watches) progressInterval() time.Duration {
	d := w.ProgressInterval
	if d <= 0 {
		d = defaultProgressInterval
	}
	d = max(d, minProgressInterval)
	return d + rand.N(d/jitterPart)
}

// Watch answers one stream of watchers.
func (f *Face) Watch(c *Caller, s Stream) error {
	c.denied = f.identify(s.Context(), c)
	w := newWatchStream(f, c, s)
	f.receivers.Go(w.receive)
	return w.send()
}

// Wait returns when no goroutine of a stream is left. It is called when the transport has ended
// all streams.
func (f *Face) Wait() { f.receivers.Wait() }
