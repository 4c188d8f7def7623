package rsm

import (
	"sync/atomic"

	"balsa.example/raft"
)

// sharedLease is a Node's Lease, and how far its state machine is, for whoever wants to
// read: the loop sets the one, the apply goroutine the other.
type sharedLease struct {
	lease   atomic.Pointer[Lease] // nil: there is none
	applied atomic.Uint64
}

// set makes l the lease. Its two parts belong together: the commit index of another lease
// might lack what was acknowledged by others meanwhile.
func (s *sharedLease) set(l Lease) {
	switch old := s.lease.Load(); {
	case l.Until == 0:
		s.lease.Store(nil)
	case old == nil || *old != l:
		fresh := l // or each call would allocate
		s.lease.Store(&fresh)
	}
}

// serves is Lease.Serves for a read that was asked for before the call. The clock is read
// after the lease: what it shows is a time at which that one was known.
func (s *sharedLease) serves(now func() raft.Instant) bool {
	l := s.lease.Load()
	return l != nil && l.Serves(now(), raft.Index(s.applied.Load()))
}
