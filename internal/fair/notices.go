package fair

import (
	"log/slog"
	"sync"
	"time"
)

// noticeEvery is the least time between two notices of one kind.
const noticeEvery = 10 * time.Second

// Notices logs what may happen very often, at a bounded rate. The zero value is ready.
type Notices struct {
	mu     sync.Mutex
	at     time.Time
	untold int
}

// Warn logs a warning, unless one was logged just now: then it counts for the next.
func (n *Notices) Warn(log *slog.Logger, what string, args ...any) {
	n.mu.Lock()
	n.untold++
	times := n.untold
	if now := time.Now(); n.at.IsZero() || now.Sub(n.at) >= noticeEvery {
		n.at, n.untold = now, 0
	}
	told := n.untold == 0
	n.mu.Unlock()
	if told {
		log.Warn(what, append(args, "times", times)...)
	}
}
