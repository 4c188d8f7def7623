package clients

import (
	"sync"
	"time"
)

// openStreams counts the streams of a client. A stream counts until its end was written to
// the connection. Its handler returns earlier, but its replies stay in memory while the
// client does not read them.
type openStreams struct {
	account *Account

	mu       sync.Mutex
	handlers int       // streams whose handler runs
	open     int       // streams whose end was not written
	counted  int       // streams that count in account
	since    time.Time // the last end of a stream, while open > handlers; else zero
}

// enter counts a stream before its handler runs, unless that is over a bound.
func (o *openStreams) enter() bool {
	if o.account.Enter(0) != Allowed {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handlers++
	o.counted++
	o.recount(false)
	return true
}

// leave notes that a handler has returned.
func (o *openStreams) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handlers--
	o.recount(false)
}

// setOpen notes how many streams are open.
func (o *openStreams) setOpen(open int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fewer := open < o.open
	o.open = open
	o.recount(fewer)
}

// recount lets streams that have ended count no more. Caller holds mu.
func (o *openStreams) recount(progress bool) {
	for ; o.counted > max(o.handlers, o.open); o.counted-- {
		o.account.Leave(0)
	}
	switch {
	case o.open <= o.handlers:
		o.since = time.Time{}
	case progress || o.since.IsZero():
		o.since = time.Now()
	}
}

// stalledSince tells whether streams are open whose handlers have returned, and none of
// them has ended since t.
func (o *openStreams) stalledSince(t time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero() && o.since.Before(t)
}
