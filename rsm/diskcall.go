package rsm

import (
	"log/slog"
	"sync/atomic"
	"time"

	"balsa.example/raft"
)

// diskCall measures the present call of the Log while it lasts, since a disk that hangs
// returns no error.
type diskCall struct {
	since atomic.Int64 // the raft.Instant at which the present call began; 0: there is none

	// Owned by the loop:
	slow   raft.Instant  // when the call began that was warned of; 0: there is none
	warnAt time.Duration // how long that call takes when the next warning is due
}

func (c *diskCall) begin(now raft.Instant) { c.since.Store(int64(now)) }

func (c *diskCall) end() { c.since.Store(0) }

// elapsed is how long the present call has taken so far.
func (c *diskCall) elapsed(now raft.Instant) time.Duration {
	if since := raft.Instant(c.since.Load()); since != 0 {
		return time.Duration(now - since)
	}
	return 0
}

// slowCall is how long a call takes when it is first warned of. A healthy disk is about a
// thousand times as fast.
const slowCall = time.Second

// watch logs a slow call at growing intervals while it lasts, and when it has ended.
func (c *diskCall) watch(now raft.Instant, log *slog.Logger) {
	since := raft.Instant(c.since.Load())
	if c.slow != 0 && since != c.slow {
		log.Info("the disk works again", "after", time.Duration(now-c.slow).Round(time.Millisecond))
		c.slow = 0
	}
	took := time.Duration(now - since)
	if since == 0 || took < slowCall {
		return
	}
	if c.slow == 0 {
		c.slow, c.warnAt = since, slowCall
	}
	if took >= c.warnAt {
		log.Warn("the disk is slow: a write or sync of the log has not ended", "for", took.Round(time.Millisecond))
		c.warnAt = 2 * took
	}
}
