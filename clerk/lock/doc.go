// Package lock is mutual exclusion among the programs of a cluster.
//
//	m := lock.NewMutex(ck, "jobs/backup")
//	if err := m.Lock(ctx); err != nil { ... }
//	defer m.Unlock(ctx)
//	...                                   // until m.Lost() is closed
//
// # What a Mutex promises
//
// A lock is held on a lease. If its owner stops, or reaches no server for the time to live, the
// lease ends, and the next one gets the lock. The owner is told of that by Lost, as long as its
// clock does not run slower than those of the servers by more than they tolerate, and as long as
// it looks: a program that was suspended may go on as if it had the lock.
//
// So what must not be done by two owners carries the owner's Token, or is a transaction that
// demands Held:
//
//	r, err := ck.Txn(ctx).If(m.Held()).Then(clerk.OpPut("jobs/backup/last", now)).Commit()
//
// Token is the revision that created the owner's key. Each owner has a higher one than all
// before it. A resource that remembers the highest token, and refuses lower ones, obeys one owner
// at a time, always.
//
// # How it works
//
// Each Lock has a lease of its own, and a key in the queue of the lock that hangs on it. The key
// that was created first is the owner's. Each of the others waits until the key before it is
// gone, and then looks whether its own is still there, so that nobody gets the lock on a lease
// that ended while it waited. Unlock, and a Lock that is given up, ends the lease: a request of it
// that arrives later is refused.
//
// Lock, the type, is the lock of MIT's 6.5840: it is made of Get and Put alone, and has no lease.
package lock
