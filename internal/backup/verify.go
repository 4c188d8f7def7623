package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// Verify reads all bytes of all points, and checks them: each run record by record, its checksum and its
// chain hash, that the runs of a point follow one another, and that together they lead to the hash of the
// state that the cluster has said. It calls bad for what is not in order (ErrDamaged), for what the disk does not
// give back (ErrUnreadable), and for points that this program cannot read (ErrNewer), and returns an error where it cannot go on.
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
		if err := tellOf(ctx, err, bad); err != nil {
			return err
		}
	}
	for _, p := range d.points {
		err := d.verifyPoint(ctx, p)
		if err != nil {
			err = fmt.Errorf("%s: %w", filepath.Join(d.path, p.name), err)
		}
		if err := tellOf(ctx, err, bad); err != nil {
			return err
		}
	}
	return nil
}

// tellOf calls bad for an error that is of the backup, and returns any other.
func tellOf(ctx context.Context, err error, bad func(error)) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err = judged(err); errors.Is(err, ErrDamaged) || errors.Is(err, ErrUnreadable) {
		bad(err)
		return nil
	}
	return err
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
