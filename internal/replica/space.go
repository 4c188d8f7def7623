package replica

import (
	"context"
	"sync/atomic"
	"time"

	"balsa.example/internal/frontend/native/translate"
	"balsa.example/state"
	"balsa.example/vfs"
)

// A full disk must not be full of what cannot be deleted any more. So some space is kept for what
// makes room, which takes some itself: a delete is a record in the log and in the history, what it
// frees comes back when a checkpoint is written and runs are written anew.
const (
	// SpaceReserve is the space below which no more data is taken: two runs, that are written anew,
	// and two segments of the log.
	SpaceReserve = 96 << 20
	// LastSpace is the space below which nothing is taken: one segment of the log.
	LastSpace = 16 << 20
	// spaceInterval is how often it looks.
	spaceInterval = 200 * time.Millisecond
)

// space is the goroutine that looks how much space is left.
type space struct {
	low, none atomic.Bool
	logLow    func() bool // Config.LowSpace
	background
}

// LowSpace tells whether this replica leads and its disk has no room for more data.
func (r *Replica) LowSpace() bool { return r.shortage().LowSpace }

// shortage is what this replica, if it leads, has too little of. What a follower lacks refuses
// nothing.
func (r *Replica) shortage() translate.Shortage {
	if s := r.ownShortage(); s != (translate.Shortage{}) && r.Node.Leads() {
		return s
	}
	return translate.Shortage{}
}

// ownShortage is the shortage of this replica, whoever leads.
func (r *Replica) ownShortage() translate.Shortage {
	return translate.Shortage{
		LowSpace:  r.space.low.Load() || r.space.logLow != nil && r.space.logLow(),
		NoSpace:   r.space.none.Load(),
		LowMemory: r.index.lowMemory.Load(),
		LowPlaces: r.index.lowPlaces.Load(),
	}
}

// admitsForwarded is rsm.Config.Admit: it is asked where this replica leads, also before New has
// its Node.
func (r *Replica) admitsForwarded(op []byte) bool {
	s := r.ownShortage()
	if s == (translate.Shortage{}) {
		return true
	}
	c, err := state.Codec{}.Decode(op)
	return err == nil && s.Refuses(c) == ""
}

func (s *space) run(ctx context.Context, fs vfs.FS, dir string) {
	tick := time.NewTicker(spaceInterval)
	defer tick.Stop()
	for {
		s.look(fs, dir)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look notes how much is left. A file system that does not tell has enough: the log notices when it
// has not.
func (s *space) look(fs vfs.FS, dir string) {
	available, err := fs.Available(dir)
	s.low.Store(err == nil && available < SpaceReserve)
	s.none.Store(err == nil && available < LastSpace)
}
