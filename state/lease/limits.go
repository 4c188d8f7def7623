package lease

import (
	"errors"
	"fmt"
)

// MaxTTL is the longest time to live, in nanoseconds of log time: 9,000,000,000 s, as in etcd.
const MaxTTL = 9_000_000_000 * 1_000_000_000

var (
	// ErrExists refuses to grant a lease whose id another one has.
	ErrExists = errors.New("lease: a lease with this id exists")

	// ErrNotFound is for a lease that was never granted, was revoked, or has expired.
	ErrNotFound = errors.New("lease: no such lease")

	// ErrTTL refuses a time to live of less than 1 ns or more than MaxTTL.
	ErrTTL = errors.New("lease: time to live out of range")

	// ErrTooManyLeases refuses a lease beyond Limits.Leases.
	ErrTooManyLeases = errors.New("lease: too many leases")

	// ErrTooManyKeys refuses to attach a key beyond Limits.KeysPerLease.
	ErrTooManyKeys = errors.New("lease: too many keys on one lease")

	// ErrLimits refuses Limits of which one is out of its range.
	ErrLimits = errors.New("lease: bad limits")
)

// Limits bound a table. They decide what is refused, so they must be the same on all replicas:
// they are part of the state and of its encoding, not of a replica's configuration.
type Limits struct {
	Leases       uint32 // leases in all, sessions included
	KeysPerLease uint32 // keys attached to one lease

	// Window is how far the sequence numbers of a session reach that are not forgotten, counted
	// from the highest that was begun. So it is also how many outcomes a session has at most.
	Window uint32
	// OutcomeBytes is the longest result that is kept. Of a longer one revision and code are.
	OutcomeBytes uint32
	// SessionBytes is for all outcomes of a session, each with outcomeOverhead.
	SessionBytes uint32
	// AllOutcomeBytes is for the outcomes of all sessions, each with outcomeOverhead. Beyond it
	// every session still keeps revision and code of one outcome.
	AllOutcomeBytes uint64
}

// DefaultLimits returns the limits of a new cluster.
func DefaultLimits() Limits {
	return Limits{
		Leases:          1_000_000,
		KeysPerLease:    100_000,
		Window:          1024,
		OutcomeBytes:    4 << 10,
		SessionBytes:    64 << 10,
		AllOutcomeBytes: 64 << 20,
	}
}

// check returns an error that is ErrLimits unless a table can keep to l.
func (l Limits) check() error {
	switch {
	case l.Leases == 0 || l.KeysPerLease == 0 || l.Window == 0:
		return fmt.Errorf("%w: Leases %d, KeysPerLease %d, Window %d must be at least 1", ErrLimits, l.Leases, l.KeysPerLease, l.Window)
	case uint64(l.SessionBytes) < uint64(l.Window)*outcomeOverhead:
		return fmt.Errorf("%w: SessionBytes %d is below the %d that %d outcomes without results take up",
			ErrLimits, l.SessionBytes, uint64(l.Window)*outcomeOverhead, l.Window)
	}
	return nil
}
