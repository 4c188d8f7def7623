package fair

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrFull refuses a newcomer for whom a Queue has no place, or who lost it to one of another source.
var ErrFull = errors.New("too many wait")

// Queue lets a few in at a time, of many that wait. Sources take turns, and those of one source come in the
// order in which they came. So who has much to do keeps only itself waiting. When all places are taken, a
// newcomer gets that of the last of the source that has most, unless its own would have as many.
type Queue struct {
	max int // that wait

	mu      sync.Mutex
	free    int     // that may be let in at once
	waiting int     // in all lines
	lines   []*line // none empty; the first is the next to be let in from
}

// line is those of one source that wait.
type line struct {
	source string
	all    []chan error // each gets nil when it is let in, or ErrFull
}

// NewQueue returns a Queue that lets in some at a time, and in which max wait at most.
func NewQueue(some, max int) *Queue { return &Queue{free: some, max: max} }

// Enter returns when it is the turn of somebody from a source. Leave must be called then. The error is
// ErrFull, or that of ctx.
func (q *Queue) Enter(ctx context.Context, source string) error {
	turn, err := q.join(source)
	if turn == nil {
		return err
	}
	select {
	case err := <-turn:
		return err
	case <-ctx.Done():
	}
	if !q.quit(source, turn) && <-turn == nil { // it was let in meanwhile
		q.Leave()
	}
	return ctx.Err()
}

// join takes a place. The channel is nil for who is let in at once, or refused.
func (q *Queue) join(source string) (turn chan error, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free > 0 {
		q.free--
		return nil, nil
	}
	own := q.line(source)
	if q.waiting >= q.max && !q.makeRoom(own) {
		return nil, ErrFull
	}
	if own == nil {
		own = &line{source: source}
		q.lines = append(q.lines, own)
	}
	turn = make(chan error, 1)
	own.all = append(own.all, turn)
	q.waiting++
	return turn, nil
}

// makeRoom takes the place of the last of the longest line, if one that joins the line own has a better
// claim. Caller holds mu.
func (q *Queue) makeRoom(own *line) bool {
	longest, ahead := own, 1
	if own != nil {
		ahead += len(own.all)
	}
	for _, l := range q.lines {
		if len(l.all) > ahead {
			longest, ahead = l, len(l.all)
		}
	}
	if longest == own {
		return false
	}
	last := len(longest.all) - 1
	longest.all[last] <- ErrFull
	longest.all = longest.all[:last]
	q.waiting--
	return true
}

// quit gives a place up. It returns false if it was lost already.
func (q *Queue) quit(source string, turn chan error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	own := q.line(source)
	if own == nil {
		return false
	}
	at := slices.Index(own.all, turn)
	if at < 0 {
		return false
	}
	own.all = slices.Delete(own.all, at, at+1)
	q.waiting--
	if len(own.all) == 0 {
		q.lines = slices.DeleteFunc(q.lines, func(l *line) bool { return l == own })
	}
	return true
}

// Leave lets the next one in.
func (q *Queue) Leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		q.free++
		return
	}
	next := q.lines[0]
	next.all[0] <- nil
	next.all = next.all[1:]
	q.waiting--
	if q.lines = q.lines[1:]; len(next.all) > 0 {
		q.lines = append(q.lines, next)
	}
}

// line is that of a source, nil if nobody of it waits. Caller holds mu.
func (q *Queue) line(source string) *line {
	i := slices.IndexFunc(q.lines, func(l *line) bool { return l.source == source })
	if i < 0 {
		return nil
	}
	return q.lines[i]
}
