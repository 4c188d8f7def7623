//balsa:pure

package rsm

import (
	"errors"
	"fmt"

	"balsa/raft"
)

// What may come out of Submit besides a result. Only ErrWrongLeader, ErrBusy and
// ErrTooLarge say that the operation was not and will never be executed; with any other
// error, a context's included, its fate is unknown.
var (
	// ErrWrongLeader: this replica is not the leader, or lost the operation's place
	// in the log to another leader. Certainly not executed. See NotLeaderError.
	ErrWrongLeader = errors.New("not the leader")
	// ErrBusy: too much is waiting already. Certainly not executed; try later.
	ErrBusy = errors.New("too many operations in progress")
	// ErrTooLarge: the encoded operation is above Config.MaxOpBytes. Certainly not executed.
	ErrTooLarge = errors.New("operation too large")
	// ErrStopped: the replica stopped first. Unknown whether executed.
	ErrStopped = errors.New("replica stopped")
	// ErrUnknown: a snapshot from the leader covered the operation's place in the
	// log before its fate was seen here. Unknown whether executed.
	ErrUnknown = errors.New("outcome unknown")
)

// ErrNotNeeded is the fate of an Offer of a snapshot from which nothing is to be learnt.
var ErrNotNeeded = errors.New("snapshot not needed")

// NotLeaderError is an ErrWrongLeader that knows who leads.
type NotLeaderError struct {
	Leader raft.NodeID // raft.None if nobody is known
}

func (e *NotLeaderError) Error() string {
	if e.Leader == raft.None {
		return "not the leader; no leader is known"
	}
	return fmt.Sprintf("not the leader; the leader is %s", e.Leader)
}

// Is makes errors.Is(err, ErrWrongLeader) true.
func (e *NotLeaderError) Is(target error) bool { return target == ErrWrongLeader }

// ReadMode says what a Read stands on.
type ReadMode uint8

const (
	// ReadIndex asks a majority that this leader still leads: no assumption on clocks.
	ReadIndex = ReadMode(raft.ReadByIndex)
	// ReadLease relies on the leader's lease (Config.LeaseReads), and falls back to
	// ReadIndex where it holds none.
	ReadLease = ReadMode(raft.ReadByLease)
)
