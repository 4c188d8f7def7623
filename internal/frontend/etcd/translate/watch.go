//balsa:pure

package translate

import (
	"errors"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// noWatcher is the id in responses that are of no watcher, or of all of a stream.
const noWatcher = -1

// Why watchers are refused that its package rpctypes has no names for, as etcd says it.
const (
	reasonEmptyRange  = "mvcc: watcher range is empty"
	reasonDuplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
)

// errReservedID refuses a watcher whose id is that of responses which are of no watcher.
var errReservedID = errors.New("etcdserver: watch id -1 is reserved")

// WatchSession has what the hub does not know of the watchers of a stream. The zero value is a
// stream without watchers. One goroutine at a time may use it.
type WatchSession struct {
	nextID int64
	// creating are the requests whose Created or Refused the hub has not handed out yet, in
	// order. live are the watchers whose Created it has.
	creating []watcher
	live     map[int64]*watcher
	// special counts the live watchers that are not told of events like others.
	special    int
	recipients []Recipient
}

// watcher is one of a stream.
type watcher struct {
	id       int64
	refused  bool
	span     kv.Span
	fragment bool
	progress bool
	// due tells that it gets a progress mark at the next tick, since it got no events after the
	// last one. asked tells that the hub was asked for the mark.
	due, asked bool
	// revoked tells that the client may not read the span any more. The hub was told to end the
	// watcher.
	revoked bool
}

func (w *watcher) special() bool { return w.fragment || w.progress || w.revoked }

// Recipient is a watcher that gets a response.
type Recipient struct {
	ID       int64
	Fragment bool
}

// WatchHub makes watchers. Its methods are as those of watch.Stream.
type WatchHub interface {
	Watch(watch.Request) error
	Refuse(id int64, err error) error
}

// Create makes a watcher, or lets the client know why not. denied is why the client may not read
// the WatchSpan; nil: it may. The error is watch.ErrUnread or nil.
func (s *WatchSession) Create(c *pb.WatchCreateRequest, denied error, hub WatchHub) error {
	r, err := watchRequest(c)
	if err == nil {
		err = denied
	}
	if err == nil {
		err = s.create(&r, hub)
	}
	w := watcher{id: r.ID, span: r.Span, fragment: c.Fragment, progress: c.ProgressNotify, due: c.ProgressNotify}
	if err != nil && !errors.Is(err, watch.ErrUnread) {
		w.refused = true
		err = hub.Refuse(r.ID, err)
	}
	s.creating = append(s.creating, w)
	return err
}

// create makes a watcher. One without an id gets the next one that is free.
func (s *WatchSession) create(r *watch.Request, hub WatchHub) error {
	switch {
	case r.Span.Empty():
		return watch.ErrEmptySpan
	case r.ID != 0:
		return hub.Watch(*r)
	}
	for ; ; s.nextID++ {
		r.ID = s.nextID
		switch err := hub.Watch(*r); {
		case errors.Is(err, watch.ErrDuplicateID):
		case err == nil || errors.Is(err, watch.ErrUnread):
			s.nextID++
			return err
		default:
			return err
		}
	}
}

// watchRequest is what a client asks the hub for. An id of 0 asks for any.
func watchRequest(c *pb.WatchCreateRequest) (watch.Request, error) {
	r := watch.Request{ID: c.WatchId, Span: WatchSpan(c), Filter: watch.Filter{Prev: c.PrevKv}}
	for _, f := range c.Filters {
		switch f {
		case pb.WatchCreateRequest_NOPUT:
			r.NoPut = true
		case pb.WatchCreateRequest_NODELETE:
			r.NoDelete = true
		}
	}
	switch {
	case c.StartRevision < 0:
		return r, ErrCompacted // that is how etcd answers it
	case c.WatchId == noWatcher:
		return r, errReservedID
	}
	r.Revision = uint64(c.StartRevision)
	return r, nil
}

// WatchSpan is the span of a request, which it outlives.
func WatchSpan(c *pb.WatchCreateRequest) kv.Span {
	key, end := string(c.Key), string(c.RangeEnd)
	if key == "" {
		key = "\x00" // the smallest one that there is
	}
	switch end {
	case "":
		return kv.Single(key)
	case "\x00":
		return kv.FromKey(key)
	}
	return kv.Span{From: key, To: end}
}

// Recipients returns the watchers that get a response to what the hub hands out. They are valid
// until the next call.
func (s *WatchSession) Recipients(out *watch.Output) []Recipient {
	s.recipients = s.recipients[:0]
	switch out.Kind {
	case watch.Created, watch.Refused:
		w := s.creating[0]
		s.creating[0] = watcher{}
		s.creating = s.creating[1:]
		if w.refused {
			s.tell(noWatcher)
			break
		}
		s.add(&w)
		s.tell(w.id)
	case watch.Canceled:
		for _, id := range out.IDs {
			s.remove(id)
			s.tell(id)
		}
	case watch.Progress:
		for _, id := range out.IDs {
			if w := s.live[id]; w.asked { // else the hub marks everyone who reads the history
				w.asked = false
				s.tell(id)
			}
		}
		if len(out.IDs) == 0 {
			s.tell(noWatcher)
		}
	case watch.Events:
		for _, id := range out.IDs {
			s.tellEvents(id)
		}
	}
	return s.recipients
}

func (s *WatchSession) tell(id int64) { s.recipients = append(s.recipients, Recipient{ID: id}) }

func (s *WatchSession) add(w *watcher) {
	if s.live == nil {
		s.live = map[int64]*watcher{}
	}
	s.live[w.id] = w
	if w.special() {
		s.special++
	}
}

func (s *WatchSession) remove(id int64) {
	if s.live[id].special() {
		s.special--
	}
	delete(s.live, id)
}

func (s *WatchSession) tellEvents(id int64) {
	if s.special == 0 {
		s.tell(id)
		return
	}
	w := s.live[id]
	w.due, w.asked = false, false
	if !w.revoked {
		s.recipients = append(s.recipients, Recipient{id, w.fragment})
	}
}

// Tick returns the watchers that get a progress mark now, if they have got all there is. It is
// called at each interval of progress marks.
func (s *WatchSession) Tick() (due []int64) {
	for id, w := range s.live {
		if w.progress {
			if w.due {
				w.asked = true
				due = append(due, id)
			}
			w.due = true
		}
	}
	slices.Sort(due)
	return due
}

// Revoke calls end for each watcher of a span that the client has lost the right to read. It gets
// no events from now on.
func (s *WatchSession) Revoke(lost func(kv.Span) error, end func(id int64, err error) error) error {
	for _, id := range slices.Sorted(maps.Keys(s.live)) {
		w, special := s.live[id], s.live[id].special()
		if err := w.revoke(lost, end); err != nil {
			return err
		}
		if w.special() && !special {
			s.special++
		}
	}
	for i := range s.creating {
		if err := s.creating[i].revoke(lost, end); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) revoke(lost func(kv.Span) error, end func(id int64, err error) error) error {
	if w.refused || w.revoked {
		return nil
	}
	err := lost(w.span)
	if err == nil {
		return nil
	}
	w.revoked = true
	return end(w.id, err)
}

// reasonOf is the reason that a client is told.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, watch.ErrEmptySpan):
		return reasonEmptyRange
	case errors.Is(err, watch.ErrDuplicateID):
		return reasonDuplicateID
	case errors.Is(err, watch.ErrTooMany):
		return ErrTooManyRequests.Text
	}
	if e := (*Error)(nil); errors.As(err, &e) && deniedCodes[e.Code] != "" {
		return "rpc error: code = " + deniedCodes[e.Code] + " desc = " + e.Text
	}
	return err.Error()
}

// deniedCodes are the names of the codes of errors that say that a client may not read what it wants
// to watch. In etcd the reason is what Go makes of the whole error.
var deniedCodes = map[Code]string{
	InvalidArgument: "InvalidArgument", PermissionDenied: "PermissionDenied", Unauthenticated: "Unauthenticated",
}
