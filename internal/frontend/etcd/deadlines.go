package etcd

import (
	"sync/atomic"
	"time"
)

// deadlineSteps is how many deadlines there are at a time, besides the newest. A request waits longer
// than it may by one such part at most.
const deadlineSteps = 64

// deadlines are shared by the requests that began at about the same time. A context with a timeout
// for each of them took a tenth of the processor time of a put.
type deadlines struct{ newest atomic.Pointer[deadline] }

// deadline is that of requests that begin before until.
type deadline struct {
	until time.Time
	late  chan struct{} // closed by a timer of its own
}

// after returns what is closed when a request that begins now has waited for a time. That must be the
// same for all.
func (d *deadlines) after(wait time.Duration) <-chan struct{} {
	now := time.Now()
	if newest := d.newest.Load(); newest != nil && now.Before(newest.until) {
		return newest.late
	}
	step := wait / deadlineSteps
	next := &deadline{until: now.Add(step), late: make(chan struct{})}
	time.AfterFunc(wait+step, func() { close(next.late) })
	d.newest.Store(next) // two requests at the same time may have one each
	return next.late
}
