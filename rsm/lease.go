//balsa:pure

package rsm

import "balsa.example/raft"

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
