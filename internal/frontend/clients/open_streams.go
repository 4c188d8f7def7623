package clients

import (
	"slices"
	"sync"
	"time"

	"balsa.example/internal/grpcserver"
)

// beginCost is what a stream counts for, in bytes, until its first message has come or its handler
// runs: about what is kept for it. It counts as an unfinished message does.
const beginCost = 8 << 10

// smallResponse is the size in bytes of a response that is not worth counting: what is kept of a
// stream takes as much.
const smallResponse = 4 << 10

// openStreams counts the streams of a client. A stream counts until its end was written to
// the connection. Its handler returns earlier, but its replies stay in memory while the
// client does not read them.
//
// A stream on which the client may send more counts for StreamWindow bytes, too: so much is received
// ahead. So does one whose handler sends more than one message. A unary call whose request
// has come does not: of these there may be many.
type openStreams struct {
	client *Client

	mu        sync.Mutex
	now       grpcserver.Streams
	handlers  int       // streams whose handler runs
	streaming int       // of these, those which are no unary calls
	counted   int       // streams that count in Client.streams
	windows   int       // of these, those that count for StreamWindow
	unbegun   int       // streams that count for beginCost
	unread    []int64   // sizes of responses that may wait for the client to read them, in order
	since     time.Time // the last end of a stream, while more are open than handlers run; else zero
}

// enter counts a stream before its handler runs, unless that is over a bound.
func (o *openStreams) enter(streaming bool) bool {
	ok := o.tryEnter(streaming)
	if !ok {
		o.client.streams.Refused() // which may log, and so wait: not while mu is held
	}
	return ok
}

func (o *openStreams) tryEnter(streaming bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.streaming
	if streaming {
		all++
	}
	windows := max(o.windows, min(o.counted+1, max(all, o.now.More)))
	if o.client.streams.try(1, int64(windows-o.windows)*StreamWindow) != Allowed {
		return false
	}
	o.handlers++
	o.streaming = all
	o.counted++
	o.windows = windows
	o.recount(false)
	return true
}

// leave notes that a handler has returned, and the size of its response. That is kept until
// the client reads. So it counts in Client.Requests, whatever the bounds are: a response cannot be
// taken back.
func (o *openStreams) leave(streaming bool, size int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handlers--
	if size > smallResponse {
		i, _ := slices.BinarySearch(o.unread, int64(size))
		o.unread = slices.Insert(o.unread, i, int64(size))
		o.client.Requests.add(int64(size))
	}
	if streaming {
		o.streaming--
	}
	o.recount(false)
}

// set notes how many streams there are.
func (o *openStreams) set(now grpcserver.Streams) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fewer := now.Open < o.now.Open
	o.now = now
	o.recount(fewer)
}

// recount lets streams that have ended count no more. Caller holds mu.
func (o *openStreams) recount(progress bool) {
	counted := min(o.counted, max(o.handlers, o.now.Open))
	windows := min(o.windows, counted, max(o.streaming, o.now.More))
	o.client.streams.give(int64(o.counted-counted), int64(o.windows-windows)*StreamWindow)
	o.counted, o.windows = counted, windows

	// Which of the streams have ended is not known: say the ones with the smallest responses.
	if ended := len(o.unread) - max(0, o.now.Open-o.handlers); ended > 0 {
		for _, size := range o.unread[:ended] {
			o.client.Requests.Leave(size)
		}
		if o.unread = slices.Delete(o.unread, 0, ended); len(o.unread) == 0 {
			o.unread = nil
		}
	}
	unbegun := max(0, o.now.Empty-o.handlers)
	o.client.addUnbegun(int64(unbegun-o.unbegun) * beginCost)
	o.unbegun = unbegun
	switch {
	case o.now.Open <= o.handlers:
		o.since = time.Time{}
	case progress || o.since.IsZero():
		o.since = time.Now()
	}
}

// stalledSince tells whether streams are open whose handlers do not run, since they have returned
// or await a first message, and none of them has ended since t.
func (o *openStreams) stalledSince(t time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero() && o.since.Before(t)
}
