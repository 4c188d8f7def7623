package etcd

import (
	"context"
	"fmt"
	"math"

	"balsa.example/internal/frontend/etcd/translate"
)

// maxResponseBytes is how many bytes of keys and values one response has at most. It is a little
// less than clients of etcd can take.
const maxResponseBytes = math.MaxInt32 - 1<<20

// responseSteps are the bounds with which something is read until it fits. Most fits into the
// first, which is free. For the others there has to be room.
var responseSteps = []int64{1 << 20, 16 << 20, 256 << 20, maxResponseBytes}

// errResponseTooLarge tells a client what to do.
var errResponseTooLarge = &translate.Error{
	Code: translate.ResourceExhausted,
	Text: fmt.Sprintf("etcdserver: response has more than %d bytes: use a limit, or RangeStream", maxResponseBytes),
}

// reading calls read with rising bounds until that says that the bound was wide enough. All large
// responses that are read at the same time share maxResponseBytes.
func (f *Face) reading(ctx context.Context, read func(maxBytes int64) (enough bool, err error)) error {
	for i, bytes := range responseSteps {
		units := bytes / roomUnit
		if i == 0 {
			units = 0
		}
		if err := f.room.acquire(ctx, units); err != nil {
			return failed(err, translate.ReadFailed)
		}
		enough, err := read(bytes)
		f.room.release(units) // before more is asked for
		if enough || err != nil {
			return err
		}
	}
	return errResponseTooLarge
}

// room is for what is large. It is given out in units.
type room struct {
	turn  chan struct{} // held by the one who takes units: two who have a part each would wait for ever
	units chan struct{}
}

const roomUnit = 1 << 20

func newRoom(units int64) room { return room{make(chan struct{}, 1), make(chan struct{}, units)} }

// acquire returns when there is room for n units, or with the error of ctx.
func (r *room) acquire(ctx context.Context, n int64) error {
	if n == 0 {
		return nil
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for i := range n {
		select {
		case r.units <- struct{}{}:
		case <-ctx.Done():
			r.release(i)
			return ctx.Err()
		}
	}
	return nil
}

func (r *room) release(n int64) {
	for range n {
		<-r.units
	}
}
