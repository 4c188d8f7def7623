package clerk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"balsa.example/api"
)

// CompactedError ends a watch when events that it has not handed out are compacted.
type CompactedError struct {
	// Revision is the first one that can be watched from.
	Revision uint64
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("%v: the history begins at revision %d", ErrCompacted, e.Revision)
}

// Unwrap returns ErrCompacted.
func (e *CompactedError) Unwrap() error { return ErrCompacted }

// Changes are all events of one revision that a watch is for, in the order in which they
// happened. Without Events they are a progress mark: the watch has handed out all that happened
// up to Revision. See Progress.
type Changes struct {
	Revision uint64
	Events   []Event
}

// Event is one change of one key. Values must not be changed: other watches share them.
type Event struct {
	// KV is the key after the change. Of a delete it has the key, and the revision. Prev is what
	// the key held before, with WithPrev, and if there was such a key.
	KV
	Deleted bool
}

// WatchOption changes what a watch hands out. WithPrev is one, too.
type WatchOption interface{ setWatch(*watching) }

type watchOption func(*watching)

func (o watchOption) setWatch(w *watching) { o(w) }

func (withPrev) setWatch(w *watching) { w.create.Prev = true }

// Since makes a watch begin with the events of a revision, in place of those that come. To go on
// behind what was read or watched before, it is the revision of that plus one. A watch of all
// that ever happened begins at revision 1. A revision that the store has not reached yet is fine.
func Since(revision uint64) WatchOption {
	return watchOption(func(w *watching) { w.create.Revision = revision })
}

// NoPuts leaves out events of puts.
func NoPuts() WatchOption { return watchOption(func(w *watching) { w.create.NoPut = true }) }

// NoDeletes leaves out events of deletes.
func NoDeletes() WatchOption { return watchOption(func(w *watching) { w.create.NoDelete = true }) }

// Progress lets a watch hand out progress marks: Changes without Events. One comes at the
// beginning of a watch without Since, with the revision behind which it begins. The others come
// every few seconds, while nothing happens to the keys but to others. A program that notes them
// can go on from there later with Since, without what it knows, even when the events before are
// compacted.
func Progress() WatchOption { return watchOption(func(w *watching) { w.progress = true }) }

// Watch iterates over what happens to the keys of a span, from now on if no option says
// otherwise. It goes on until the loop ends it, or an error does, which is the last thing that
// it yields: that of ctx, ErrClosed, or a CompactedError.
//
//	for changes, err := range ck.Watch(ctx, clerk.Prefix("users/")) {
//		if err != nil {
//			return err
//		}
//		for _, e := range changes.Events {
//			...
//		}
//	}
//
// The events are exactly those that happened: each once, in the order of their revisions, all of
// a revision together, and none is missing. That holds when servers fail and when the leader
// changes: the watch goes on at another server from where it was, for as long as it takes. Any
// server will do, so a watch may lag behind what the Clerk reads; it never goes back. A watch
// from now on begins behind everything that was acknowledged before.
//
// All watches of a Clerk share a stream to each server. A loop that is slow costs no other one
// anything: what it has not taken stays at the server.
func (c *Clerk) Watch(ctx context.Context, span Span, opts ...WatchOption) iter.Seq2[Changes, error] {
	return func(yield func(Changes, error) bool) {
		w := &watching{clerk: c, ctx: ctx, yield: yield}
		w.create.Span = span.message()
		for _, opt := range opts {
			opt.setWatch(w)
		}
		if err := w.run(); err != nil {
			yield(Changes{}, fmt.Errorf("watch: %w", err))
		}
	}
}

// watching is the shell of one Watcher.
type watching struct {
	clerk    *Clerk
	ctx      context.Context
	yield    func(Changes, error) bool
	create   api.WatchCreate // but for id and revision
	progress bool

	watcher     Watcher
	step        WatchStep
	at          Subscription // after Ask
	address     string       // of its server
	reason      error        // why the last server was lost; nil since an answer has come
	deliveries  []Delivery
	tlsFailures tlsFailures
}

// errStop says that the loop has ended the watch.
var errStop = errors.New("stop")

// run runs a watch to its end. It returns nil if the loop has ended it.
func (w *watching) run() error {
	caller, ok := w.clerk.caller.(WatchCaller)
	if !ok {
		return errors.New("the Caller of this Clerk makes no watchers")
	}
	ctx, cancel := context.WithCancelCause(w.ctx)
	defer cancel(nil)
	defer w.leave()
	go func() { // Close ends it
		select {
		case <-w.clerk.done:
			cancel(ErrClosed)
		case <-ctx.Done():
		}
	}()
	w.ctx = ctx
	if w.create.Revision == 0 {
		if err := w.findPresent(); err != nil {
			return err
		}
	}
	w.decide(func() WatchStep {
		c := w.clerk
		w.watcher = NewWatcher(c.route, c.rand, c.pace, w.create.Revision)
		return w.watcher.Start()
	})
	for w.step.Action != End {
		err := w.proceed(caller)
		switch {
		case err == errStop:
			return nil
		case ctx.Err() != nil:
			return &endedWatch{context.Cause(ctx), w.reason}
		case err != nil:
			return err
		}
	}
	return refusedWatch(w.watcher.Refusal())
}

// findPresent lets the Clerk see the store's present revision, below which a watch from now on
// must not begin. The server that is watched may be far behind, as after a restart.
func (w *watching) findPresent() error {
	key := w.create.Span.From
	if len(key) == 0 {
		key = []byte{0} // any will do
	}
	_, err := w.clerk.do(w.ctx, &api.Request{Kind: api.Request_GET, Key: key})
	if err != nil && !errors.Is(err, ErrNoKey) {
		return err
	}
	return nil
}

// endedWatch says that a watch was given up.
type endedWatch struct{ ended, reason error }

func (e *endedWatch) Error() string {
	last := ""
	if e.reason != nil {
		last = e.reason.Error()
	}
	return describe(e.ended.Error(), nil, last)
}

// Unwrap returns the context's error, or ErrClosed.
func (e *endedWatch) Unwrap() error { return e.ended }

func refusedWatch(u *api.WatchUpdate) error {
	if u.GetCode() == api.Reply_COMPACTED {
		return &CompactedError{Revision: u.GetCompacted()}
	}
	return annotate(cmp.Or(codeErrors[u.GetCode()], ErrInvalid), u.GetMessage())
}

// decide lets the Watcher choose its next step.
func (w *watching) decide(choose func() WatchStep) {
	w.clerk.mu.Lock()
	defer w.clerk.mu.Unlock()
	w.step = choose()
}

// proceed does what the present step says, and goes on to the next.
func (w *watching) proceed(caller WatchCaller) error {
	switch w.step.Action {
	case Ask:
		return w.ask(caller)
	case Wait:
		timer := time.NewTimer(time.Duration(w.step.Nanos))
		defer timer.Stop()
		select {
		case <-timer.C:
			w.decide(w.watcher.WaitDone)
		case <-w.ctx.Done():
		}
		return nil
	default:
		return w.listen(w.ctx)
	}
}

// ask makes a watcher at a server, and takes its first answer.
func (w *watching) ask(caller WatchCaller) error {
	w.leave()
	w.clerk.mu.Lock()
	w.address = w.clerk.route.Server(w.step.Server)
	w.clerk.mu.Unlock()
	at, err := caller.Watch(w.address, &api.WatchCreate{
		Span: w.create.Span, Revision: w.step.Revision,
		NoPut: w.create.NoPut, NoDelete: w.create.NoDelete, Prev: w.create.Prev,
	})
	if err != nil {
		return w.lost(err)
	}
	w.at = at
	ctx, cancel := context.WithTimeout(w.ctx, time.Duration(w.step.Nanos))
	defer cancel()
	return w.listen(ctx)
}

// leave ends the watcher at the present server.
func (w *watching) leave() {
	if w.at != nil {
		w.at.Close()
		w.at = nil
	}
}

// listen takes the next update, and hands out what it lets. If ctx ends, the server is lost.
func (w *watching) listen(ctx context.Context) error {
	u, err := w.at.Next(ctx)
	switch {
	case w.ctx.Err() != nil:
		return nil
	case errors.Is(err, errPaused):
		w.decide(w.watcher.Paused)
		return nil
	case err != nil:
		return w.lost(err)
	}
	w.tlsFailures.note(w.address, nil)
	if w.reason = nil; u.GetCode() != api.Reply_OK {
		w.reason = fmt.Errorf("%s: %w", w.address, annotate(ErrUnavailable, u.GetMessage()))
	}
	w.deliveries = w.deliveries[:0]
	w.decide(func() (step WatchStep) {
		w.deliveries, step = w.watcher.Update(u, w.deliveries)
		return step
	})
	for _, d := range w.deliveries {
		if len(d.Events) == 0 && !w.progress {
			continue
		}
		if !w.yield(changes(d), nil) {
			return errStop
		}
	}
	return nil
}

// lost goes on at another server, unless none can be reached by TLS.
func (w *watching) lost(err error) error {
	w.tlsFailures.note(w.address, err)
	if err := cmp.Or(w.tlsFailures.ofAll(w.clerk.servers()), refusedLogin(err)); err != nil {
		return err
	}
	w.reason = fmt.Errorf("%s: %w: %w", w.address, ErrUnavailable, err)
	w.decide(w.watcher.Lost)
	return nil
}

func changes(d Delivery) Changes {
	c := Changes{Revision: d.Revision}
	if len(d.Events) > 0 {
		c.Events = make([]Event, len(d.Events))
	}
	for i, e := range d.Events {
		c.Events[i] = Event{KV: entry(e.GetEntry(), d.Revision), Deleted: e.GetDeleted()}
		if e.GetPrev() != nil {
			prev := entry(e.GetPrev(), d.Revision)
			c.Events[i].KV.Prev = &prev
		}
	}
	return c
}
