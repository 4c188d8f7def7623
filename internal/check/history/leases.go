package history

import "fmt"

// Lease is what clients saw of one lease. All times are those of an observer.
type Lease struct {
	ID, TTL int64
	// Kept are the grant and the calls that kept it alive.
	Kept []Interval
	// Revoked are the calls that ended it.
	Revoked []Interval
	// Seen are the calls that saw it alive, and Gone those that saw that it had ended: by its
	// absence, or by an event that deleted its keys.
	Seen, Gone []Interval
}

// Interval is a call, from when it was called until it was answered. One without an answer may take
// effect later, so it ends never.
type Interval struct{ Called, Returned int64 }

// Answered tells whether there was an answer.
func (s Interval) Answered() bool { return s.Returned < never }

// CheckLease returns why a lease ended too early, or too late, or came back. Clocks are fast or
// slow by the share drift. late is how much longer than its time to live a lease may last, by what
// is stated; negative: for ever, because of faults.
func CheckLease(l *Lease, drift float64, late int64) error {
	// Whoever kept it alive knows that it lives on for its time to live, from the call on.
	safe := int64(-1)
	longest := int64(-1) // until when it may last
	for _, k := range l.Kept {
		if k.Answered() {
			safe = max(safe, k.Called+int64(float64(l.TTL)/(1+drift)))
		}
		longest = max(longest, min(never, k.Returned+int64(float64(l.TTL)*(1+drift))+late))
	}
	for _, r := range l.Revoked {
		safe = min(safe, r.Called)
		if r.Answered() {
			longest = min(longest, r.Returned)
		}
	}
	gone := int64(never) // when it was first known to have ended
	for _, g := range l.Gone {
		if g.Returned < safe {
			return fmt.Errorf("lease %d had ended by %d, but was to last until %d at least", l.ID, g.Returned, safe)
		}
		gone = min(gone, g.Returned)
	}
	for _, s := range l.Seen {
		if s.Called > gone {
			return fmt.Errorf("lease %d had ended by %d, but a call of %d saw it alive", l.ID, gone, s.Called)
		}
		if late >= 0 && s.Called > longest {
			return fmt.Errorf("lease %d was to last until %d at most, but a call of %d saw it alive", l.ID, longest, s.Called)
		}
	}
	return nil
}
