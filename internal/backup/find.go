package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	return nil, fmt.Errorf("revision %d is %w, which covers %s", revision, ErrNotCovered, d.Covered())
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
	// Changed is when the last change before had happened, by the clock of the leader. Zero: unknown.
	Changed time.Time
}

// AtTime finds the revision that the store was at, at a time. Changes have the time of the leader that
// proposed them, which never goes back.
func (d *Dir) AtTime(ctx context.Context, at time.Time) (*Point, At, error) {
	for _, p := range d.points {
		if p.Taken.Before(at) {
			continue
		}
		found, err := d.lastBefore(ctx, p, at)
		if err != nil {
			return nil, At{}, err
		}
		if found.Revision < p.Compacted {
			return nil, At{}, fmt.Errorf("%s is %w: what was changed before %s was compacted when it was made (it covers %s)",
				format8601(at), ErrNotCovered, d.beginning(p), d.Covered())
		}
		return p, found, nil
	}
	if newest := d.newest(); newest != nil {
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

// lastBefore finds the last revision of a point that is not later than a time.
func (d *Dir) lastBefore(ctx context.Context, p *Point, at time.Time) (found At, err error) {
	runs := slices.Clone(p.runs)
	next := p.Revision + 1 // the first revision that is later
	for i := len(runs) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return found, err
		}
		var first run.Record
		if err := d.Files().Each(runs[i], 0, func(rec *run.Record) bool { first = *rec; return false }); err != nil {
			return found, err
		}
		switch {
		case first.Mod == 0: // nothing is left of the run
			continue
		case first.Wall > at.UnixMilli():
			next = first.Mod
			continue
		}
		err := d.Files().Each(runs[i], 0, func(rec *run.Record) bool {
			if rec.Wall > at.UnixMilli() {
				next = rec.Mod
				return false
			}
			found.Changed = time.UnixMilli(rec.Wall)
			return ctx.Err() == nil
		})
		found.Revision = next - 1
		return found, errors.Join(err, ctx.Err())
	}
	return At{Revision: next - 1}, nil
}
