//balsa:pure

package rsm

import "balsa.example/raft"

// Lease lets a leader answer lease reads (thesis 6.4.1) without a turn of its loop, and
// without asking its followers. Why that is linearizable:
//
//  1. While the lease lasts no other leader can have been elected. So every acknowledged
//     operation was committed by this leader, or before it led.
//  2. This leader makes a Lease known before any other effect of the same turn. So an
//     operation that was acknowledged before a read began is at or below Commit.
//  3. A state machine that has executed up to Commit reflects that operation. It may be read
//     at any later time: the answer may then be newer, which linearizability allows.
type Lease struct {
	Until  raft.Instant // on the clock that Turn is given; 0: there is no lease
	Commit raft.Index
}

// Serves tells whether a read that began before now may be answered from a state machine
// that reflects all entries up to applied.
func (l Lease) Serves(now raft.Instant, applied raft.Index) bool {
	return now < l.Until && applied >= l.Commit
}
