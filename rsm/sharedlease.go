package rsm

import (
	"sync/atomic"

	"balsa.example/raft"
)

// sharedLease is a Node's Lease and applied index, for the goroutines of readers. The loop
// sets the lease, the apply goroutine the index.
type sharedLease struct {
	lease   atomic.Pointer[Lease] // nil: there is no lease
	applied atomic.Uint64
}

// set makes l the lease. Its two fields are replaced together: with the commit index of an
// older lease, reads could miss what another leader acknowledged in between.
func (s *sharedLease) set(l Lease) {
	switch old := s.lease.Load(); {
	case l.Until == 0:
		s.lease.Store(nil)
	case old == nil || *old != l:
		fresh := l // a copy that escapes, so that other calls do not allocate
		s.lease.Store(&fresh)
	}
}

// serves is Lease.Serves for a read that began before the call, and returns the Commit of the
// lease. The clock is read after the lease was loaded.
func (s *sharedLease) serves(now func() raft.Instant) (commit raft.Index, ok bool) {
	l := s.lease.Load()
	if l == nil || !l.Serves(now(), raft.Index(s.applied.Load())) {
		return 0, false
	}
	return l.Commit, true
}
