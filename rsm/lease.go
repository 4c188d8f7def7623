//balsa:pure

package rsm

import "balsa/raft"

// Lease lets a leader answer lease reads without a turn, and without asking anybody.
//
// While it lasts nobody else can have been elected, so all that was ever acknowledged
// was committed by this leader, or before it led. This leader tells nobody of a commit
// before its Lease does. So what was acknowledged before a read was asked for is at or
// below Commit, and a state machine that has executed that much shows it. It does not
// matter when it is looked at, as long as that is later: an answer may be newer, or overlap
// with what others do.
type Lease struct {
	Until  raft.Instant // by the clock that Turn is given; 0: there is none
	Commit raft.Index
}

// Serves tells whether a read that was asked for before now may be answered from a state
// machine that reflects everything up to applied.
func (l Lease) Serves(now raft.Instant, applied raft.Index) bool {
	return now < l.Until && applied >= l.Commit
}

// LeaseNanos returns how long a leader may trust that nobody else is elected, from when
// it sent what a majority answered, where no two clocks differ in rate by more than the
// share of drift.
//
// Of the ticks of a follower's silence two may come right after it heard from the
// leader: one that its ticker kept for it while it was late, and the next one.
func LeaseNanos(electionTicks int, tickNanos int64, drift float64) int64 {
	silence := int64(electionTicks-2) * tickNanos
	return int64(float64(silence) * (1 - drift))
}
