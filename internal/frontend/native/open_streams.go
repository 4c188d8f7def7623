package native

import (
	"sync"
	"time"
)

// held are the streams of a client. One counts until its end is on the wire: its handler is
// done earlier, and what it has said stays in memory while the client takes nothing.
type held struct {
	account *account

	mu       sync.Mutex
	handlers int       // streams that are being served
	open     int       // streams that have not ended on the wire
	counted  int       // in account
	since    time.Time // when a stream ended last, while more are open than served; else zero
}

// enter counts a stream that is to be served, unless that is too much.
func (h *held) enter() bool {
	if h.account.enter(0) != allowed {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers++
	h.counted++
	h.settle(false)
	return true
}

// leave says that a stream has been served.
func (h *held) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers--
	h.settle(false)
}

// are says how many streams are open.
func (h *held) are(open int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fewer := open < h.open
	h.open = open
	h.settle(fewer)
}

// settle counts no more than there are. Caller holds mu.
func (h *held) settle(progress bool) {
	for ; h.counted > max(h.handlers, h.open); h.counted-- {
		h.account.leave(0)
	}
	switch {
	case h.open <= h.handlers:
		h.since = time.Time{}
	case progress || h.since.IsZero():
		h.since = time.Now()
	}
}

// stalledSince tells whether streams are open that nobody serves, and none has ended since.
func (h *held) stalledSince(t time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.since.IsZero() && h.since.Before(t)
}
