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
	// lowMemory and lowPlaces tell of what there was too little when it looked last.
	lowMemory, lowPlaces atomic.Bool
	background
}

// indexInterval is how often it looks. The index has room to grow on for until the next look.
const indexInterval = time.Second

// mostPlaces is which share of the places in the index may be in use. Where there is none left the process ends, and so do
// those of all other members, and again at each start. They have the same keys, but where several share a place up to a
// quarter may be of keys that are gone (see package index): where the leader has five eighths in use, another member has five
// sixths at most. The last sixth is for a second of puts, and for what was deleted and that member has not purged
// yet, for a reader or a checkpoint that takes long. Less is for tests.
var mostPlaces = 5.0 / 8

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
	memory, places := x.max > 0 && f.IndexBytes > x.max, f.IndexPlaces > mostPlaces
	if memory != x.lowMemory.Swap(memory) {
		x.log.Warn("memory of the index", "bytes", f.IndexBytes, "limit", x.max, "full", memory)
	}
	if places != x.lowPlaces.Swap(places) {
		x.log.Warn("places in the index", "share", f.IndexPlaces, "limit", mostPlaces, "full", places)
	}
}
