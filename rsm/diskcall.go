package rsm

import (
	"log/slog"
	"sync/atomic"
	"time"

	"balsa.example/raft"
)

// diskCall is the call of Storage that is under way, for those who want to know how long
// it takes while it does: a disk that hangs returns no error.
type diskCall struct {
	since atomic.Int64 // a raft.Instant; 0: none is under way

	// Of the loop: the call that was found overdue, and after how long that is said next.
	overdue raft.Instant
	say     time.Duration
}

func (c *diskCall) begin(now raft.Instant) { c.since.Store(int64(now)) }

func (c *diskCall) end() { c.since.Store(0) }

// under is how long the present call has taken so far.
func (c *diskCall) under(now raft.Instant) time.Duration {
	if since := raft.Instant(c.since.Load()); since != 0 {
		return time.Duration(now - since)
	}
	return 0
}

// slowCall is from when on a call is worth a warning: a healthy disk is a thousand times as
// fast.
const slowCall = time.Second

// watch logs a slow call: while it lasts, at growing intervals, and when it has ended.
func (c *diskCall) watch(now raft.Instant, log *slog.Logger) {
	since := raft.Instant(c.since.Load())
	if c.overdue != 0 && since != c.overdue {
		log.Info("the disk works again", "after", time.Duration(now-c.overdue).Round(time.Millisecond))
		c.overdue = 0
	}
	took := time.Duration(now - since)
	if since == 0 || took < slowCall {
		return
	}
	if c.overdue == 0 {
		c.overdue, c.say = since, slowCall
	}
	if took >= c.say {
		log.Warn("the disk is slow: a write or sync of the log has not ended", "for", took.Round(time.Millisecond))
		c.say = 2 * took
	}
}
