//balsa:pure

package rsm

import (
	"errors"
	"fmt"

	"balsa.example/raft"
)

// What may come out of Submit besides a result. Only ErrWrongLeader, ErrBusy,
// ErrTooLarge and ErrAlarm say that the operation was not and will never be executed; with any other
// error, a context's included, its fate is unknown.
var (
	// ErrWrongLeader: this replica is not the leader, or lost the operation's place
	// in the log to another leader. Certainly not executed. See NotLeaderError.
	ErrWrongLeader = errors.New("not the leader")
	// ErrBusy: too much is waiting already. Certainly not executed; try later.
	ErrBusy = errors.New("too many operations in progress")
	// ErrTooLarge: the encoded operation is above Config.MaxOpBytes. Certainly not executed.
	ErrTooLarge = errors.New("operation too large")
	// ErrAlarm: the states of the replicas differ, and no majority agrees, so that no more
	// writes are taken. Certainly not executed. See Hasher.
	ErrAlarm = errors.New("the states of the replicas differ, and no majority agrees: no writes are taken")
	// ErrStopped: the replica stopped first. Unknown whether executed.
	ErrStopped = errors.New("replica stopped")
	// ErrUnknown: a snapshot from the leader covered the operation's place in the
	// log before its fate was seen here. Unknown whether executed.
	ErrUnknown = errors.New("outcome unknown")
)

// ErrDiverged is why a replica stops whose state differs from that of a majority. What is on
// its disk is not to be trusted either. See Hasher.
var ErrDiverged = errors.New("the state of this replica differs from that of a majority at the same index")

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
