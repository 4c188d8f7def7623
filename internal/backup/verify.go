package backup

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// Verify reads all bytes of all points, and checks them: each run record by record, its checksum and its
// chain hash, that the runs of a point follow one another, and that together they lead to the hash of the
// state that the cluster has said. It calls bad for what is not in order, and returns an error where it
// cannot go on.
func (d *Dir) Verify(ctx context.Context, tell func(Progress), bad func(error)) error {
	for _, err := range d.damage {
		bad(err)
	}
	var done Progress
	named := d.named()
	for _, info := range named {
		done.Of += info.Bytes
	}
	for _, number := range slices.Sorted(maps.Keys(named)) {
		err := d.Files().Verify(ctx, *named[number], func(n int) {
			if done.Bytes += int64(n); tell != nil {
				tell(done)
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			bad(fmt.Errorf("%w: %w", ErrDamaged, err))
		}
	}
	for _, p := range d.points {
		err := d.verifyPoint(ctx, p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			bad(fmt.Errorf("%w: %s: %w", ErrDamaged, filepath.Join(d.path, p.name), err))
		}
	}
	return nil
}

func (d *Dir) verifyPoint(ctx context.Context, p *Point) error {
	if n := len(p.runs); n > 0 && !p.runs[n-1].Sealed { // it may be the beginning of what a later point has
		if err := d.Files().Verify(ctx, p.runs[n-1], nil); err != nil {
			return err
		}
	}
	im, err := d.Image(p)
	if err != nil {
		return err
	}
	return im.Check(ctx, d.Files())
}
