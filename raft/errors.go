package raft

import "errors"

// Errors that event methods return. None of them has changed anything.
var (
	// ErrNotLeader: only a leader can do this.
	ErrNotLeader = errors.New("raft: not the leader")
	// ErrNoLeader: this node is not the leader and knows of none.
	ErrNoLeader = errors.New("raft: no leader known")
	// ErrBusy: too many bytes wait to be applied (Config.MaxPendingBytes), to be written to
	// the leader's own disk (Config.MaxUnstableBytes), or to be compacted (LimitLog).
	ErrBusy = errors.New("raft: too much in progress")
	// ErrTooLarge: an operation is above Config.MaxEntryBytes, and will always be refused.
	ErrTooLarge = errors.New("raft: operation too large")
	// ErrTransferring: leadership is being transferred; no proposals are taken until the
	// transfer ends.
	ErrTransferring = errors.New("raft: leadership is being transferred")
	// ErrTransferFailed: a transfer was given up a short time ago. Another one may begin ten
	// election timeouts after that.
	ErrTransferFailed = errors.New("raft: a transfer of leadership has just failed")
	// ErrNotCaughtUp: leadership is transferred only to a member that answers and lacks at
	// most Config.MaxInflightBytes of the log. And a member may vote only if it was a learner, and
	// follows the log as closely (see ProposeConfiguration).
	ErrNotCaughtUp = errors.New("raft: the member does not answer, or is far behind")
	// ErrManyReads: 4096 reads are in progress. Each ends within two election timeouts.
	ErrManyReads = errors.New("raft: too many reads in progress")
	// ErrMisaddressed: the message is not for this node, or names no other node as its sender.
	ErrMisaddressed = errors.New("raft: message for another node")
	// ErrMalformed: the message contradicts itself, so that its sender must be faulty.
	ErrMalformed = errors.New("raft: malformed message")
	// ErrNotReady: a leader changes no members before it has committed an entry of its own term.
	ErrNotReady = errors.New("raft: this leader has not committed an entry of its term yet")
	// ErrChangePending: one change of the members goes on already.
	ErrChangePending = errors.New("raft: another change of the members is in progress")
	// ErrBadConfiguration: the configuration will always be refused (see Configuration.Check).
	ErrBadConfiguration = errors.New("raft: bad configuration")
	// ErrNotVoter: leadership can be transferred only to another voter that stays one.
	ErrNotVoter = errors.New("raft: not another voter")
)
