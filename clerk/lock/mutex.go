package lock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"balsa.example/clerk"
)

var (
	// ErrHeld: TryLock found the lock held or waited for.
	ErrHeld = errors.New("lock is held")

	// ErrLost: the lease of the lock has ended, and the lock with it.
	ErrLost = errors.New("lock is lost")

	// ErrName: the name of a lock is empty, or contains "/@".
	ErrName = errors.New("bad name of a lock")

	errLocked = errors.New("this Mutex holds the lock or waits for it")
)

// DefaultTTL is how long a lock stays held when its owner has gone.
const DefaultTTL = 15 * time.Second

// Mutex is an owner's handle of a lock on a lease. It is for one goroutine at a time, but for
// Lost; owners that compete have a Mutex each.
type Mutex struct {
	clerk *clerk.Clerk
	name  string
	ttl   time.Duration
	value []byte

	lease atomic.Pointer[clerk.Lease] // nil: not locked
	key   string                      // ours in the queue of the lock
	token uint64                      // the revision that created key
}

// Option changes how a Mutex works.
type Option func(*Mutex)

// TTL sets how long the lock stays held when its owner has gone, or reaches no server.
func TTL(d time.Duration) Option { return func(m *Mutex) { m.ttl = d } }

// Value is what the key of the owner holds, for people and for those that ask for the owner.
func Value(v []byte) Option { return func(m *Mutex) { m.value = v } }

// NewMutex returns a handle of the lock with a name. Its keys begin with the name and "/@".
func NewMutex(ck *clerk.Clerk, name string, opts ...Option) *Mutex {
	m := &Mutex{clerk: ck, name: name, ttl: DefaultTTL}
	for _, opt := range opts {
		opt(m)
	}
	return m
}

// Queue is the span of the keys of a lock: one for its owner, and one for each that waits. The
// owner's is the one that was created first.
func Queue(name string) clerk.Span { return clerk.Prefix(name + "/@") }

// Lock takes the lock, and waits for it as long as ctx allows. Who has waited longest is next.
// If it fails, the lock is not held, and the place in the queue is given up.
func (m *Mutex) Lock(ctx context.Context) error {
	return m.acquire(ctx, "lock", func() error {
		if err := m.create(ctx, clerk.Key); err != nil {
			return err
		}
		return m.await(ctx)
	})
}

// TryLock takes the lock if nobody holds it or waits for it, else it fails with ErrHeld.
func (m *Mutex) TryLock(ctx context.Context) error {
	if n, err := m.clerk.Count(ctx, Queue(m.name)); err != nil || n > 0 {
		if err == nil {
			err = ErrHeld
		}
		return fmt.Errorf("try lock %q: %w", m.name, err)
	}
	return m.acquire(ctx, "try lock", func() error {
		return m.create(ctx, func(string) clerk.Span { return Queue(m.name) })
	})
}

// acquire runs enter with a lease. A lease is used for one place in the queue, so that its end
// settles all that is in doubt: what arrives later is refused.
func (m *Mutex) acquire(ctx context.Context, what string, enter func() error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s %q: %w", what, m.name, err)
		}
	}()
	switch {
	case m.name == "" || strings.Contains(m.name, "/@"):
		return ErrName
	case m.lease.Load() != nil:
		return errLocked
	}
	lease, err := m.clerk.Grant(ctx, m.ttl)
	if err != nil {
		return err
	}
	m.lease.Store(lease)
	m.key = fmt.Sprintf("%s/@%016x", m.name, lease.ID())
	if err = enter(); err == nil && lease.Lost() {
		err = ErrLost
	}
	if err != nil {
		lease.Abandon()
		m.lease.Store(nil)
		if ended := ctx.Err(); ended != nil {
			err = ended // and nothing of what was in doubt matters any more
		}
	}
	return err
}

// create creates our key if none of the keys that must be missing, ours among them, is there.
// ErrHeld: one is, and not ours.
func (m *Mutex) create(ctx context.Context, missing func(key string) clerk.Span) error {
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		r, err := m.clerk.Txn(ctx).
			If(clerk.Missing(missing(m.key))).
			Then(clerk.OpPut(m.key, m.value, clerk.WithLease(m.lease.Load().ID()))).
			Else(clerk.OpRange(clerk.Key(m.key), clerk.KeysOnly())).
			Commit()
		switch {
		case errors.Is(err, clerk.ErrNoLease), m.lease.Load().Lost():
			return ErrLost
		case errors.Is(err, clerk.ErrMaybe) && sleep(ctx, wait) == nil:
			continue // it finds our key, if it was created
		case err != nil:
			return err
		case r.Succeeded:
			m.token = r.Revision
			return nil
		case len(r.Results) == 0: // the reply had no room to tell: see clerk.TxnResult.Incomplete
			if err := sleep(ctx, wait); err != nil {
				return err
			}
			continue
		case len(r.Results[0].KVs) == 0:
			return ErrHeld
		}
		m.token = r.Results[0].KVs[0].CreateRevision
		return nil
	}
}

// await waits until our key is the first of the queue. Each waits for the one before, so that
// the end of one wakes one.
func (m *Mutex) await(ctx context.Context) error {
	for {
		ours, before, err := m.look(ctx)
		switch {
		case err != nil:
			return err
		case !ours || m.lease.Load().Lost():
			return ErrLost
		case before == nil:
			return nil
		}
		if err := m.gone(ctx, before); err != nil {
			return err
		}
	}
}

// look tells whether our key is there, and which one is before it.
func (m *Mutex) look(ctx context.Context) (ours bool, before *clerk.KV, err error) {
	for kv, err := range m.clerk.Range(ctx, Queue(m.name),
		clerk.OrderBy(clerk.SortByCreateRevision), clerk.Descending(), clerk.CreatedBetween(0, m.token),
		clerk.Limit(2), clerk.KeysOnly()) {
		switch {
		case err != nil:
			return false, nil, err
		case kv.Key == m.key && kv.CreateRevision == m.token:
			ours = true
		default:
			before = &kv
		}
	}
	return ours, before, nil
}

// gone waits until a key of the queue is deleted, as it was found, or our lease is lost.
func (m *Mutex) gone(ctx context.Context, kv *clerk.KV) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := m.lease.Load().Done()
	go func() {
		defer cancel()
		select {
		case <-lost:
		case <-ctx.Done():
		}
	}()
	for _, err := range m.clerk.Watch(ctx, clerk.Key(kv.Key), clerk.Since(kv.Revision+1), clerk.NoPuts()) {
		switch {
		case m.lease.Load().Lost():
			return ErrLost
		case err != nil && !errors.Is(err, clerk.ErrCompacted): // if so, the delete may be among what is gone
			return err
		}
		break
	}
	return nil
}

// Unlock gives the lock back. It is ErrNotHeld if it was not held, or perhaps no longer. After any
// other error the lock is not held any more by this Mutex; it is free for others when its lease
// has ended, at the latest after the time to live.
func (m *Mutex) Unlock(ctx context.Context) error {
	lease := m.lease.Swap(nil)
	if lease == nil {
		return fmt.Errorf("unlock %q: %w", m.name, ErrNotHeld)
	}
	lost := lease.Lost()
	err := lease.Revoke(ctx)
	if err == nil && lost || errors.Is(err, clerk.ErrNoLease) {
		err = ErrNotHeld
	}
	if err != nil {
		return fmt.Errorf("unlock %q: %w", m.name, err)
	}
	return nil
}

// Token is the fencing token of the lock while it is held: a number that is higher for each
// owner than for all before it. A resource that refuses a lower token than the highest that it
// has seen obeys one owner at a time, even if a former owner does not know yet that it has lost
// the lock.
func (m *Mutex) Token() uint64 { return m.token }

// Lost is closed when the lock is lost, or may be lost at any time: see clerk.Lease.Done. It
// belongs to the present lock, and is nil if there is none.
func (m *Mutex) Lost() <-chan struct{} {
	lease := m.lease.Load() // any goroutine may ask
	if lease == nil {
		return nil
	}
	return lease.Done()
}

// Held is a condition for transactions: that this owner still holds the lock. So the store
// itself refuses what an owner writes too late. It is never true of a Mutex that is not locked.
func (m *Mutex) Held() clerk.Compare {
	if m.lease.Load() == nil {
		return clerk.Version(m.name + "/@").Above(math.MaxUint64) // never, of a key that the owner may read
	}
	return clerk.CreateRevision(m.key).Equals(m.token)
}

// Key is the owner's key, and Lease the id of its lease, while the lock is held.
func (m *Mutex) Key() string { return m.key }

// Lease is the id of the lease that the lock is held on; 0: it is not held.
func (m *Mutex) Lease() int64 {
	lease := m.lease.Load()
	if lease == nil {
		return 0
	}
	return lease.ID()
}
