package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"balsa.example/kv/run"
)

// Covering returns the point from which a revision is restored: of those that cover it the earliest, since
// what has no revisions is then closest to what it was.
func (d *Dir) Covering(revision uint64) (*Point, error) {
	for _, p := range d.points {
		if p.Compacted <= revision && revision <= p.Revision {
			return p, nil
		}
	}
	return nil, errors.Join(append([]error{fmt.Errorf("revision %d is %w, which covers %s", revision, ErrNotCovered, d.Covered())}, d.damage...)...)
}

// Covered says which revisions the points cover.
func (d *Dir) Covered() string {
	if len(d.points) == 0 {
		return "nothing"
	}
	type span struct{ from, to uint64 }
	var spans []span
	for _, p := range d.points {
		if n := len(spans); n > 0 && p.Compacted <= spans[n-1].to+1 {
			spans[n-1].to = max(spans[n-1].to, p.Revision)
		} else {
			spans = append(spans, span{p.Compacted, p.Revision})
		}
	}
	var parts []string
	for _, s := range spans {
		parts = append(parts, fmt.Sprintf("%d to %d", s.from, s.to))
	}
	return "revisions " + strings.Join(parts, ", ")
}

// At is the revision that a store was at, at a time.
type At struct {
	Revision uint64
	// Reached is the time by which it had certainly reached that, by the clock of the leader. The zero
	// time: unknown.
	Reached time.Time
}

// AtTime finds the revision that the store was at, at a time, as closely as the clocks of leaders say: it
// may be one that was reached an election timeout earlier, and never a later one.
//
// A point may lack what was changed shortly before it was taken: older servers told when they had written the state,
// and the clocks of servers differ. So the points behind it are asked too, up to the one whose state has a
// later stamp than the time.
func (d *Dir) AtTime(ctx context.Context, at time.Time) (p *Point, found At, err error) {
	for _, q := range d.points {
		later := q.wall > at.UnixMilli()
		if q.Taken.Before(at) && !later {
			continue
		}
		reached, err := d.reached(ctx, q, at)
		if err != nil {
			return nil, At{}, err
		}
		if p == nil || reached.Revision > found.Revision && reached.Revision >= q.Compacted {
			p, found = q, reached
		}
		if later {
			break
		}
	}
	switch newest := d.newest(); {
	case p != nil && found.Revision >= p.Compacted:
		return p, found, nil
	case p != nil:
		return nil, At{}, fmt.Errorf("%s is %w: what was changed before %s was compacted when it was made (it covers %s)",
			format8601(at), ErrNotCovered, d.beginning(p), d.Covered())
	case newest != nil:
		return nil, At{}, fmt.Errorf("%s is %w, whose newest point is of %s", format8601(at), ErrNotCovered, format8601(newest.Taken))
	}
	return nil, At{}, fmt.Errorf("%s is %w, which has no points", format8601(at), ErrNotCovered)
}

func format8601(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z07:00") }

// beginning says when the first change was that a point covers.
func (d *Dir) beginning(p *Point) string {
	text := fmt.Sprintf("revision %d", p.Compacted)
	for _, info := range p.runs {
		if info.Last < p.Compacted {
			continue
		}
		_ = d.Files().Each(info, p.Compacted, func(rec *run.Record) bool { // for people: without it the text is shorter
			if rec.Mod >= p.Compacted {
				text = fmt.Sprintf("%s (revision %d)", format8601(time.UnixMilli(rec.Wall)), rec.Mod)
			}
			return rec.Mod < p.Compacted
		})
		break
	}
	return text
}

// reached finds the last revision of a point that the store had certainly reached by a time. A record has the
// last time that a leader had stamped before it, which may be long ago if nothing was written meanwhile; a
// stamp follows it within an election timeout. So a record is certainly of before a time if some later record, or the
// state, has a later stamp that is not behind that time.
func (d *Dir) reached(ctx context.Context, p *Point, at time.Time) (found At, err error) {
	stamp := p.wall // the last that is not behind the time
	if stamp > at.UnixMilli() {
		stamp = 0
		err := d.backwards(ctx, p, at.UnixMilli(), func(rec *run.Record) bool {
			if rec.Wall <= at.UnixMilli() {
				stamp = rec.Wall
			}
			return rec.Wall <= at.UnixMilli()
		})
		if err != nil {
			return found, err
		}
	}
	next := uint64(0) // the first revision that has it, or a later one
	err = d.backwards(ctx, p, stamp-1, func(rec *run.Record) bool {
		if rec.Wall >= stamp {
			next = rec.Mod
		}
		return rec.Wall < stamp
	})
	if next == 0 {
		next = p.Revision + 1
	}
	return At{next - 1, time.UnixMilli(stamp)}, err
}

// backwards reads the last run that begins not later than a stamp, until each returns false; if that does not
// happen also the first record behind it; and the first record of all if no run begins so early.
func (d *Dir) backwards(ctx context.Context, p *Point, stamp int64, each func(*run.Record) bool) error {
	var behind *run.Record
	for i := len(p.runs) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		var first *run.Record
		err := d.Files().Each(p.runs[i], 0, func(rec *run.Record) bool {
			first = &run.Record{Mod: rec.Mod, Wall: rec.Wall}
			return false
		})
		if err != nil {
			return err
		}
		if first == nil || first.Wall > stamp { // nil: nothing is left of the run
			if first != nil {
				behind = first
			}
			continue
		}
		more := true
		err = d.Files().Each(p.runs[i], 0, func(rec *run.Record) bool {
			more = each(rec) && ctx.Err() == nil
			return more
		})
		if err = errors.Join(err, ctx.Err()); err != nil || !more {
			return err
		}
		break
	}
	if behind != nil {
		each(behind)
	}
	return nil
}
