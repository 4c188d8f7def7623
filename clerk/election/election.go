// Package election lets one of several programs lead.
//
//	e := election.New(ck, "scheduler")
//	if err := e.Campaign(ctx, []byte("host-7")); err != nil { ... }
//	defer e.Resign(ctx)
//	for lead := true; lead; {
//		select {
//		case <-e.Lost():
//			lead = false
//		case job := <-jobs:
//			...
//		}
//	}
//
// An election is a lock with a value: see package lock for what is promised, and for the tokens
// that keep a leader that was deposed, and does not know it yet, from doing harm.
package election

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"balsa.example/clerk"
	"balsa.example/clerk/lock"
)

// ErrNoLeader: nobody leads.
var ErrNoLeader = errors.New("nobody leads")

// Election is a candidate's handle of an election. It is for one goroutine at a time, but for
// Lost; candidates that compete have one each.
type Election struct {
	clerk   *clerk.Clerk
	name    string
	options []lock.Option
	seat    atomic.Pointer[lock.Mutex] // the last campaign's; nil before the first
}

// New returns a handle of the election with a name. The options are those of a lock.
func New(ck *clerk.Clerk, name string, opts ...lock.Option) *Election {
	return &Election{clerk: ck, name: name, options: opts}
}

// Campaign waits until this candidate leads, as long as ctx allows. Its value is what others see
// of it. Who has waited longest is next.
func (e *Election) Campaign(ctx context.Context, value []byte) error {
	if e.leads() {
		return fmt.Errorf("campaign for %q: this candidate leads", e.name)
	}
	seat := lock.NewMutex(e.clerk, e.name, append(e.options[:len(e.options):len(e.options)], lock.Value(value))...)
	e.seat.Store(seat)
	if err := seat.Lock(ctx); err != nil {
		return fmt.Errorf("campaign for %q: %w", e.name, err)
	}
	return nil
}

// leads tells whether this candidate leads, as far as it knows.
func (e *Election) leads() bool {
	seat := e.seat.Load()
	if seat == nil || seat.Lease() == 0 {
		return false
	}
	select {
	case <-seat.Lost():
		return false
	default:
		return true
	}
}

// Proclaim changes the value of this candidate, which leads. It is lock.ErrNotHeld if it does not.
func (e *Election) Proclaim(ctx context.Context, value []byte) error {
	if !e.leads() {
		return fmt.Errorf("proclaim for %q: %w", e.name, lock.ErrNotHeld)
	}
	seat := e.seat.Load()
	r, err := e.clerk.Txn(ctx).
		If(seat.Held()).
		Then(clerk.OpPut(seat.Key(), value, clerk.KeepLease())).
		Commit()
	if err == nil && !r.Succeeded {
		err = lock.ErrNotHeld
	}
	if err != nil {
		return fmt.Errorf("proclaim for %q: %w", e.name, err)
	}
	return nil
}

// Resign lets another candidate lead. It is lock.ErrNotHeld if this one does not lead any more.
func (e *Election) Resign(ctx context.Context) error {
	seat := e.seat.Load()
	if seat == nil {
		return fmt.Errorf("resign from %q: %w", e.name, lock.ErrNotHeld)
	}
	return seat.Unlock(ctx)
}

// Lost is closed when this candidate leads no more, or may not at any time: see lock.Mutex.Lost.
func (e *Election) Lost() <-chan struct{} {
	seat := e.seat.Load() // any goroutine may ask
	if seat == nil {
		return nil
	}
	return seat.Lost()
}

// Token is the fencing token of this candidate's term: see lock.Mutex.Token.
func (e *Election) Token() uint64 {
	seat := e.seat.Load()
	if seat == nil {
		return 0
	}
	return seat.Token()
}

// Key is the key of this candidate while it leads.
func (e *Election) Key() string {
	seat := e.seat.Load()
	if seat == nil {
		return ""
	}
	return seat.Key()
}

// Leading is a condition for transactions: that this candidate still leads.
func (e *Election) Leading() clerk.Compare {
	seat := e.seat.Load()
	if seat == nil {
		return clerk.Exists("") // no such key
	}
	return seat.Held()
}

// Leader returns the key of the leader, with its value, or ErrNoLeader. Its CreateRevision is
// the leader's token.
func (e *Election) Leader(ctx context.Context) (clerk.KV, error) {
	for kv, err := range e.clerk.Range(ctx, lock.Queue(e.name), clerk.OrderBy(clerk.SortByCreateRevision), clerk.Limit(1)) {
		if err != nil {
			err = fmt.Errorf("leader of %q: %w", e.name, err)
		}
		return kv, err
	}
	return clerk.KV{}, fmt.Errorf("leader of %q: %w", e.name, ErrNoLeader)
}

// Observe iterates over the leaders, one after the other: the present one, and each new one, or
// new value, from then on. One that leads for a very short time may be left out. It ends with
// the error that ends it.
func (e *Election) Observe(ctx context.Context) iter.Seq2[clerk.KV, error] {
	return func(yield func(clerk.KV, error) bool) {
		var seen clerk.KV // the last one
		for {
			// Without Since the first thing is a progress mark: what comes after that is not missed.
			for changes, err := range e.clerk.Watch(ctx, lock.Queue(e.name), clerk.Progress()) {
				if errors.Is(err, clerk.ErrCompacted) || err == nil && changes.Revision <= seen.Revision {
					continue // compacted: the loop was slow, and looks anew
				}
				var kv clerk.KV
				if err == nil {
					kv, err = e.Leader(ctx)
				}
				switch {
				case errors.Is(err, ErrNoLeader):
					continue
				case err != nil:
					yield(clerk.KV{}, err)
					return
				case kv.ModRevision != seen.ModRevision && !yield(kv, nil):
					return
				}
				seen = kv
			}
		}
	}
}
