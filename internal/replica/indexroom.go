package replica

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"balsa.example/state"
)

// indexRoom is the goroutine that looks whether the index of all keys has room for more. It does nothing else: what
// looks after the state otherwise may wait for a disk or for another member, for minutes, and keys are added meanwhile.
type indexRoom struct {
	figures func() state.Figures
	max     int64 // Config.MaxIndexBytes
	log     *slog.Logger
	// lowMemory tells whether the index was larger when it looked last.
	lowMemory atomic.Bool
	background
}

// indexInterval is how often it looks. The index has room to grow on for until the next look.
const indexInterval = time.Second

func (x *indexRoom) run(ctx context.Context) {
	tick := time.NewTicker(indexInterval)
	defer tick.Stop()
	for {
		x.look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (x *indexRoom) look() {
	f := x.figures()
	memory := x.max > 0 && f.IndexBytes > x.max
	if memory != x.lowMemory.Swap(memory) {
		x.log.Warn("memory of the index", "bytes", f.IndexBytes, "limit", x.max, "full", memory)
	}
}
