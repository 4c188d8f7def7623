//balsa:pure

package translate

import (
	"errors"
	"fmt"
	"strings"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// WatchRequest is what a client asks the hub for.
func WatchRequest(c *api.WatchCreate) (watch.Request, error) {
	span, err := spanOf(c.Span)
	if err != nil {
		return watch.Request{ID: int64(c.Id)}, fmt.Errorf("%w: %w", errBadWatch, err)
	}
	// The span outlives the request, whose memory it shares.
	span = kv.Span{From: strings.Clone(span.From), To: strings.Clone(span.To)}
	return watch.Request{
		ID: int64(c.Id), Span: span, Revision: c.Revision,
		Filter: watch.Filter{NoPut: c.NoPut, NoDelete: c.NoDelete, Prev: c.Prev},
	}, nil
}

// WatchUpdate tells a client what the hub hands out, without events.
func WatchUpdate(out *watch.Output) *api.WatchUpdate {
	u := &api.WatchUpdate{Ids: make([]uint64, len(out.IDs)), Compacted: out.Compacted}
	for i, id := range out.IDs {
		u.Ids[i] = uint64(id)
	}
	switch out.Kind {
	case watch.Created:
		u.Kind, u.Revision = api.WatchUpdate_CREATED, out.Revision
	case watch.Progress:
		u.Kind, u.Revision = api.WatchUpdate_PROGRESS, out.Revision
	case watch.Refused:
		u.Kind = api.WatchUpdate_REFUSED
	case watch.Canceled:
		u.Kind = api.WatchUpdate_CANCELED
	}
	if out.Err != nil {
		u.Code, u.Message = watchCode(out.Err), out.Err.Error()
	}
	return u
}

func watchCode(err error) api.Reply_Code {
	switch {
	case errors.Is(err, watch.ErrCanceled):
		return api.Reply_OK
	case errors.Is(err, kv.ErrCompacted):
		return api.Reply_COMPACTED
	case errors.Is(err, errBadWatch), errors.Is(err, watch.ErrDuplicateID), errors.Is(err, watch.ErrEmptySpan):
		return api.Reply_INVALID
	case errors.Is(err, kv.ErrPermissionDenied):
		return api.Reply_PERMISSION_DENIED
	case errors.Is(err, kv.ErrNoUser), errors.Is(err, kv.ErrInvalidToken):
		return api.Reply_UNAUTHENTICATED
	case errors.Is(err, watch.ErrTooMany):
		return api.Reply_BUSY
	default: // another server may do
		return api.Reply_UNAVAILABLE
	}
}

// errBadWatch refuses a watcher whose request makes no sense.
var errBadWatch = errors.New("the request for a watcher is invalid")

// maxEventBytes is about how large a part of the events of a revision gets. A revision may be
// much larger: all keys of a lease go in one. It is so low that a message has few parts even
// where the events are small.
const maxEventBytes = 128 << 10

// WatchEvents encodes a batch for all who get it.
func WatchEvents(b *watch.Batch) (parts [][]byte) {
	part := &api.EventBatch{Revision: b.Revision}
	size := 0
	for i := range b.Events {
		e := event(&b.Events[i])
		bytes := eventOverhead + len(e.Entry.Key) + len(e.Entry.Value) + len(e.GetPrev().GetKey()) + len(e.GetPrev().GetValue())
		if size += bytes; size > maxEventBytes && len(part.Events) > 0 {
			part.More = true
			parts = append(parts, api.EncodeEvents(part))
			part, size = &api.EventBatch{Revision: b.Revision}, bytes
		}
		part.Events = append(part.Events, e)
	}
	return append(parts, api.EncodeEvents(part))
}

// eventOverhead is at least what an event takes on the wire besides its keys and values.
const eventOverhead = 10

func event(e *kv.Event) *api.Event {
	m := &api.Event{Entry: new(api.Entry), Deleted: e.Deleted}
	fillEntry(m.Entry, &e.Entry)
	if e.Prev != nil {
		m.Prev = new(api.Entry)
		fillEntry(m.Prev, e.Prev)
	}
	return m
}
