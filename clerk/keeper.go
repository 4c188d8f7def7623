package clerk

import (
	"context"
	"errors"
	"sync"
	"time"

	"balsa.example/internal/wake"
)

// maxRenewals is how many keep-alives, and how many revocations in the background, a Clerk has
// under way at a time.
const maxRenewals = 256

// keeper keeps the leases of a Clerk alive. One goroutine does so for all of them while there
// are some, and starts others for the requests.
type keeper struct {
	clerk   *Clerk
	epoch   time.Time // the beginning of the schedule's time
	wake    wake.Signal
	running sync.WaitGroup

	mu          sync.Mutex
	schedule    schedule
	leases      map[int64]*Lease // those of the schedule
	awake       bool             // the goroutine runs
	renewals    int
	revocations int
	settled     chan struct{} // closed when no revocation is under way any more; nil: nobody waits for that
	closed      bool
}

func newKeeper(c *Clerk) *keeper {
	return &keeper{clerk: c, epoch: time.Now(), wake: wake.New(), leases: make(map[int64]*Lease)}
}

func (k *keeper) now() int64 { return int64(time.Since(k.epoch)) }

// add begins to keep a lease alive that was asked for at a time, and returns it. If it was not
// granted now, it may be one that is kept alive already: then that is returned. An older one with
// its id has ended.
func (k *keeper) add(l *Lease, asked int64, granted bool) (*Lease, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, ErrClosed
	}
	if kept := k.leases[l.id]; kept != nil {
		if !granted && kept.ttl == l.ttl {
			return kept, nil
		}
		k.schedule.remove(l.id)
		k.end(l.id)
	}
	k.leases[l.id] = l
	k.schedule.add(l.id, int64(l.ttl), asked)
	if !k.awake {
		k.awake = true
		k.running.Go(k.run)
	}
	k.wake.Set()
	return l, nil
}

// remove ends to keep a lease alive.
func (k *keeper) remove(l *Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leases[l.id] == l {
		k.schedule.remove(l.id)
		k.end(l.id)
	}
	k.wake.Set()
}

// end closes the Done of a lease that is not in the schedule any more. Caller holds mu.
func (k *keeper) end(id int64) {
	if l := k.leases[id]; l != nil {
		delete(k.leases, id)
		close(l.done)
	}
}

// abandon removes a lease and revokes it in the background, for as long as it may live.
func (k *keeper) abandon(l *Lease) {
	k.remove(l)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.revocations == maxRenewals {
		return
	}
	k.revocations++
	k.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), l.ttl)
		defer cancel()
		_ = k.clerk.Revoke(ctx, l.id)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.revocations--; k.revocations == 0 && k.settled != nil {
			close(k.settled)
		}
	})
}

// settle ends the taking of new leases, and waits until those that were abandoned are revoked, for
// a limited time.
func (k *keeper) settle(limit time.Duration) {
	k.mu.Lock()
	k.closed = true
	settled := make(chan struct{})
	if k.settled = settled; k.revocations == 0 {
		close(settled)
	}
	k.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
	}
}

// close ends all leases, and returns when nothing of the keeper runs any more.
func (k *keeper) close() {
	k.mu.Lock()
	for id := range k.leases {
		k.schedule.remove(id)
		k.end(id)
	}
	k.mu.Unlock()
	k.wake.Set()
	k.running.Wait()
}

// run keeps leases alive until there are none.
func (k *keeper) run() {
	for {
		wait, ok := k.turn()
		if !ok {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.wake.C():
		}
		timer.Stop()
	}
}

// turn does what is to be done now, and returns how long to wait. ok is false if nothing is
// left to do.
func (k *keeper) turn() (wait time.Duration, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	for {
		for _, id := range k.schedule.lost(now) {
			k.end(id)
		}
		due := k.schedule.renewing(now, maxRenewals-k.renewals)
		if len(due) == 0 {
			break
		}
		k.renewals += len(due)
		for _, id := range due {
			l, left := k.leases[id], time.Duration(k.schedule.leases[id].until-now)
			k.running.Go(func() { k.renew(l, left) })
		}
	}
	if len(k.leases) == 0 {
		k.awake = false
		return 0, false
	}
	next := k.schedule.wake()
	if k.renewals == maxRenewals { // the end of one wakes us
		next = k.schedule.nextLoss()
	}
	return max(time.Duration(next-now), 0), true
}

// renew keeps a lease alive that is lost if that takes longer than left.
func (k *keeper) renew(l *Lease, left time.Duration) {
	asked := k.now()
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	ttl, err := k.clerk.KeepAlive(ctx, l.id)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.renewals--
	k.wake.Set()
	if k.leases[l.id] != l {
		return // removed meanwhile
	}
	switch {
	case err == nil || errors.Is(err, ErrNoLease):
		if !k.schedule.renewed(l.id, int64(ttl), asked) {
			k.end(l.id)
		}
	default:
		k.schedule.failed(l.id, k.now())
	}
}
