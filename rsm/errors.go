//balsa:pure

package rsm

import (
	"errors"
	"fmt"

	"balsa.example/raft"
)

// Errors of Submit. ErrWrongLeader, ErrBusy, ErrTooLarge and ErrAlarm say that the operation
// was not executed and never will be. With any other error, a context's included, it is
// unknown whether the operation was or will be executed.
var (
	// ErrWrongLeader: this replica is not the leader, or the operation's entry was replaced
	// by another leader's. Certainly not executed. See NotLeaderError.
	ErrWrongLeader = errors.New("not the leader")
	// ErrBusy: too much is waiting already. Certainly not executed; try later.
	ErrBusy = errors.New("too many operations in progress")
	// ErrNotAdmitted is an ErrBusy: the leader has no room for this operation (Config.Admit).
	ErrNotAdmitted = fmt.Errorf("%w: the leader has no room for this one", ErrBusy)
	// ErrTooLarge: the encoded operation is above Config.MaxOpBytes, or Config.Refuse has refused it with an error that wraps
	// this one, since to execute it is too much work. Certainly not executed.
	ErrTooLarge = errors.New("operation too large")
	// ErrAlarm: the states of the replicas differ, and no majority agrees, so that no more
	// writes are taken. Certainly not executed. See Hasher.
	ErrAlarm = errors.New("the states of the replicas differ, and no majority agrees: no writes are taken")
	// ErrStopped: the replica stopped first. Unknown whether executed, unless the error is
	// ErrWrongLeader too: then the replica had stopped before it took the operation.
	ErrStopped = errors.New("replica stopped")
	// ErrUnknown: a snapshot from the leader replaced the part of the log that the
	// operation's entry was in, before this replica saw what became of it. Or the leader to
	// which the operation was forwarded did not answer, and no other led (see SubmitAnywhere).
	// Unknown whether executed.
	ErrUnknown = errors.New("outcome unknown")
)

// ErrDiverged stops a replica whose state differs from that of a majority. The data on its
// disk cannot be trusted either. See Hasher.
var ErrDiverged = errors.New("the state of this replica differs from that of a majority at the same index")

// ErrRemoved stops a replica that the committed configuration has no more. It has told others what
// it had to, and is needed for nothing.
var ErrRemoved = errors.New("this replica was removed from the cluster")

// ErrSnapshotNotNeeded completes a SnapshotOffer of a snapshot that holds nothing that this
// replica lacks.
var ErrSnapshotNotNeeded = errors.New("snapshot not needed")

// NotLeaderError is an ErrWrongLeader that names the leader.
type NotLeaderError struct {
	Leader raft.NodeID // raft.None if it is not known
}

func (e *NotLeaderError) Error() string {
	if e.Leader == raft.None {
		return "not the leader; no leader is known"
	}
	return fmt.Sprintf("not the leader; the leader is %s", e.Leader)
}

// Is makes errors.Is(err, ErrWrongLeader) true.
func (e *NotLeaderError) Is(target error) bool { return target == ErrWrongLeader }
