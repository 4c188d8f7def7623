package rsm

import (
	"sync/atomic"

	"balsa/raft"
)

// sharedLease is a Node's Lease, and how far its state machine is, for whoever wants to
// read: the loop sets the one, the apply goroutine the other.
type sharedLease struct {
	until, commit, applied atomic.Uint64
}

// set makes l the lease. A reader that sees its end sees its commit index too: the one
// of a lease before might lack what was acknowledged by others meanwhile.
func (s *sharedLease) set(l Lease) {
	s.commit.Store(uint64(l.Commit))
	s.until.Store(uint64(l.Until))
}

// serves is Lease.Serves for a read that was asked for before the call. The clock is read
// last but for what may only be newer: what it shows is when the lease held.
func (s *sharedLease) serves(now func() raft.Instant) bool {
	until := raft.Instant(s.until.Load())
	if until == 0 {
		return false
	}
	at := now()
	return Lease{until, raft.Index(s.commit.Load())}.Serves(at, raft.Index(s.applied.Load()))
}
