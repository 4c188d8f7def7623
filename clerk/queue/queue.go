// Package queue is a queue in the store: what is put in by some programs is taken out by others,
// in order, each item by one of them.
//
//	q := queue.New(ck, "mails")
//	err := q.Put(ctx, mail)
//	...
//	mail, err := q.Take(ctx)
//
// An item that was taken is gone: if who has taken it crashes, nobody else gets it.
package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"balsa.example/clerk"
)

// ErrEmpty: TryTake found nothing.
var ErrEmpty = errors.New("queue is empty")

// Queue is a handle of a queue. It may be used concurrently.
type Queue struct {
	clerk *clerk.Clerk
	name  string
}

// New returns a handle of the queue with a name. Its keys begin with the name and "/@".
func New(ck *clerk.Clerk, name string) *Queue { return &Queue{ck, name} }

func (q *Queue) span() clerk.Span { return clerk.Prefix(q.name + "/@") }

// Put puts an item in, behind all others. If the error matches clerk.ErrMaybe, the item may be in
// the queue, or get there, once.
func (q *Queue) Put(ctx context.Context, item []byte) error {
	key := fmt.Sprintf("%s/@%016x%016x", q.name, rand.Uint64(), rand.Uint64())
	if _, err := q.clerk.Put(ctx, key, item, 0); err != nil {
		return fmt.Errorf("put into queue %q: %w", q.name, err)
	}
	return nil
}

// TryTake takes the first item out, or fails with ErrEmpty. If the error matches
// clerk.ErrMaybe, the item that is returned may be out of the queue: then nobody else gets it.
func (q *Queue) TryTake(ctx context.Context) ([]byte, error) {
	for tried := true; tried; {
		tried = false
		for kv, err := range q.clerk.Range(ctx, q.span(), clerk.OrderBy(clerk.SortByCreateRevision), clerk.Limit(8)) {
			if tried && errors.Is(err, clerk.ErrTooLarge) {
				break // the rest did not fit into the reply, and others were faster with those that did
			}
			tried = true // if others were faster with all of these, there may be more behind them
			if err == nil {
				err = q.clerk.Delete(ctx, kv.Key, kv.Version)
			}
			if errors.Is(err, clerk.ErrNoKey) && !errors.Is(err, clerk.ErrMaybe) {
				continue // somebody else has it
			}
			if err != nil {
				err = fmt.Errorf("take from queue %q: %w", q.name, err)
			}
			return kv.Value, err
		}
	}
	return nil, fmt.Errorf("take from queue %q: %w", q.name, ErrEmpty)
}

// Take takes the first item out. It waits until there is one, as long as ctx allows. For
// clerk.ErrMaybe see TryTake.
func (q *Queue) Take(ctx context.Context) ([]byte, error) {
	item, err := q.TryTake(ctx)
	if !errors.Is(err, ErrEmpty) {
		return item, err
	}
	// The first thing is a progress mark: what is put in after that is not missed.
	first := true
	for changes, err := range q.clerk.Watch(ctx, q.span(), clerk.NoDeletes(), clerk.Progress()) {
		if errors.Is(err, clerk.ErrCompacted) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("take from queue %q: %w", q.name, err)
		}
		if !first && len(changes.Events) == 0 {
			continue
		}
		first = false
		if item, err := q.TryTake(ctx); !errors.Is(err, ErrEmpty) {
			return item, err
		}
	}
	return q.Take(ctx)
}
