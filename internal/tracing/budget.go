package tracing

import (
	"sync/atomic"
	"time"
)

// clientSampled is of how many requests a second spans are made because their clients ask for that: any client may ask
// it of each request. After a quiet second so many may come at once.
const clientSampled = 100

// budget lets clientSampled requests a second pass. It is a token bucket that is kept as the time at which
// it would be empty again if nobody took anything (GCRA).
type budget struct{ spent atomic.Int64 }

// take tells whether there is room for one request more, at a time since some beginning.
func (b *budget) take(now time.Duration) bool {
	for {
		spent := b.spent.Load()
		next := max(spent, int64(now-time.Second)) + int64(time.Second/clientSampled)
		if next > int64(now) {
			return false
		}
		if b.spent.CompareAndSwap(spent, next) {
			return true
		}
	}
}
