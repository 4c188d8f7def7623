package etcd

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/frontend/watching"
	"balsa.example/internal/metrics"
	"balsa.example/internal/wake"
	"balsa.example/kv"
	"balsa.example/kv/watch"
)

const (
	// fragmentRoom is by how much a fragment may be larger than a request may.
	fragmentRoom = 512 << 10
	// maxReserved bounds the bytes for which a response counts, if it is no single large event. A revision may have
	// any number, and has to be sent at once.
	maxReserved = 8 << 20
)

// watchStream is one stream of watchers. One goroutine receives and another sends, see package
// watching.
type watchStream struct {
	*watching.Stream
	watches *Watches
	rights  Rights
	caller  *Caller
	asked   *metrics.EtcdRequests
	client  Stream
	origin  func() translate.Origin
	// fragment is the size from which on a response is fragmented, in bytes.
	fragment int
	// most is for how many bytes a response counts at most.
	most    int
	message translate.WatchMessage

	changed <-chan struct{} // of rights, since they were looked at the last time

	// mu is not held while a message is sent.
	mu      sync.Mutex
	session translate.WatchSession
}

func newWatchStream(f *Face, c *Caller, s Stream) *watchStream {
	largest := cmp.Or(f.cfg.Limits.MaxValueBytes, kv.DefaultLimits.MaxValueBytes)
	w := &watchStream{
		Stream: watching.New(f.cfg.Watches.Hub, watch.EtcdFace, c.bounds()), watches: &f.cfg.Watches,
		rights: f.cfg.Watches.Rights, caller: c, asked: f.cfg.Requests, client: s, origin: f.origin,
		fragment: largest + fragmentRoom, most: max(maxReserved, 2*largest+fragmentRoom),
	}
	w.changed = w.rights.Changed()
	return w
}

func (w *watchStream) receive() {
	req := new(pb.WatchRequest)
	_ = w.Receive(func() error {
		proto.Reset(req)
		if err := w.client.Receive(req); err != nil {
			return err
		}
		return w.handle(req)
	})
}

// handle carries out one request. It waits for no sending.
func (w *watchStream) handle(req *pb.WatchRequest) error {
	switch r := req.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		if r.CreateRequest != nil {
			return w.create(r.CreateRequest)
		}
	case *pb.WatchRequest_CancelRequest:
		return w.Events.Cancel(r.CancelRequest.GetWatchId(), watch.ErrCanceled)
	case *pb.WatchRequest_ProgressRequest:
		if watchers, _ := w.State(); watchers > 0 {
			w.Events.AskProgress()
		}
	}
	return nil
}

// create makes a watcher. If rights change while its own is looked at, that is done once more: what
// changes later is found by revoke.
func (w *watchStream) create(c *pb.WatchCreateRequest) error {
	for {
		changed := w.rights.Changed()
		denied := w.rights.Permitted(w.client.Context(), w.caller, translate.WatchSpan(c))
		w.mu.Lock()
		if denied == nil && wake.Closed(changed) {
			w.mu.Unlock()
			continue
		}
		defer w.mu.Unlock()
		return w.session.Create(c, denied, w)
	}
}

// send sends what the watchers are due until the stream ends, and returns the error with which it
// does. A client that sends no more requests is served as long as it has watchers.
func (w *watchStream) send() error {
	defer w.Close()
	ctx := w.client.Context()
	ticks := time.NewTicker(w.watches.progressInterval())
	defer ticks.Stop()
	var leaderless <-chan struct{}
	if w.caller.RequireLeader {
		leaderless = w.watches.Leaderless()
	}
	for {
		if err := w.SendAll(ctx, w.tell, flush); err != nil {
			return ended(cmp.Or(ctx.Err(), err))
		}
		switch watchers, err := w.State(); {
		case errors.Is(err, io.EOF) && watchers == 0:
			return nil
		case err != nil && !errors.Is(err, io.EOF):
			return ended(cmp.Or(ctx.Err(), err))
		}
		select {
		case <-w.Awake():
		case <-ticks.C:
			w.mark()
		case <-w.changed:
			if err := w.revoke(); err != nil {
				return ended(err)
			}
		case <-leaderless:
			return translate.ErrNoLeader
		case <-w.watches.Stopping:
			return translate.ErrStopped
		case <-ctx.Done():
			return ended(ctx.Err())
		}
	}
}

// ended is the error with which a stream ends that was broken off. A client ends its own with
// watchers that it makes and ends, if it does not read what becomes of that.
func ended(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return translate.ErrWatchCanceled
	case errors.Is(err, watch.ErrUnread):
		return translate.ErrTooManyRequests
	}
	return err
}

// mark asks for the progress marks that are due.
func (w *watchStream) mark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Events.MarkEach(w.session.Tick())
}

// revoke ends the watchers of what the caller may not read any more.
func (w *watchStream) revoke() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revokeLocked()
}

func (w *watchStream) revokeLocked() error {
	w.changed = w.rights.Changed()
	lost := func(span kv.Span) error { return w.rights.Lost(w.caller, span) }
	return w.session.Revoke(lost, w.Events.Cancel)
}

// recipients returns the watchers to which the client is told what the hub hands out.
func (w *watchStream) recipients(out *watch.Output) ([]translate.Recipient, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wake.Closed(w.changed) { // before what the hub hands out was executed, maybe
		if err := w.revokeLocked(); err != nil {
			return nil, err
		}
	}
	return w.session.Recipients(out), nil
}

// tell sends what the hub hands out, to each watcher in a response of its own.
func (w *watchStream) tell(out *watch.Output) (err error) {
	to, err := w.recipients(out)
	if err != nil || len(to) == 0 {
		return err
	}
	w.message.Begin(out, w.origin())
	if size := min(w.message.Size(), w.most); size > watching.MaxBytes {
		if err := w.Hold(w.client.Context(), int64(size)); err != nil {
			w.message.Reset()
			return err
		}
		defer func() {
			if w.message.Reset(); err == nil {
				err = w.Hold(w.client.Context(), watching.MaxBytes)
			}
		}()
	} else {
		defer w.message.Reset()
	}
	events := 0
	for _, b := range out.Batches {
		events += len(b.Events)
	}
	w.asked.Told(events, len(to))
	for _, r := range to {
		w.message.To(r.ID)
		if r.Fragment && w.message.Size() >= w.fragment {
			err = w.message.Fragments(w.fragment, w.sendMessage)
		} else {
			err = w.sendMessage(&w.message)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *watchStream) sendMessage(m *translate.WatchMessage) error { return w.client.Send(m) }

// flush has nothing to send: tell keeps nothing.
func flush() error { return nil }
