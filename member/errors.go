package member

import (
	"context"
	"errors"
	"fmt"

	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/transport"
)

// Errors of a change of the members. After each of them it is certain that nothing has changed.
var (
	// ErrNoMember, ErrAmbiguous, ErrExists, ErrAddressTaken, ErrNotExpected, ErrTooMany, ErrVotes,
	// ErrNotStarted, ErrLastVoter and ErrBeingReplaced say why a change makes no sense.
	ErrNoMember     = roster.ErrNoMember
	ErrAmbiguous    = roster.ErrAmbiguous
	ErrExists       = roster.ErrExists
	ErrAddressTaken = roster.ErrAddressTaken
	ErrNotExpected  = roster.ErrNotExpected
	ErrTooMany      = roster.ErrTooMany
	// ErrTooManyLearners: see NewMember.MaxLearners.
	ErrTooManyLearners = roster.ErrTooManyLearners
	ErrVotes           = roster.ErrVotes
	ErrNotStarted      = roster.ErrNotStarted
	ErrLastVoter       = roster.ErrLastVoter
	ErrBeingReplaced   = roster.ErrBeingReplaced
	// ErrWitness: a witness stays one, and no other member becomes one.
	ErrWitness = roster.ErrWitness
	// ErrNotCaughtUp: a learner that is to vote lacks too much of the log, or does not answer.
	ErrNotCaughtUp = raft.ErrNotCaughtUp
	// ErrLosesQuorum: after the change those members that answer would be no majority, so nothing
	// could be written any more.
	ErrLosesQuorum = errors.New("the members that answer would be no majority after that")
	// ErrBadChange: the change can never be made.
	ErrBadChange = errors.New("bad change of the members")
	// ErrOlder: a member runs a version that knows no changes of the members.
	ErrOlder = errors.New("not all members run a version that knows changes of the members: upgrade them first")
	// ErrNoLeader: no leader was found in time, or it could not take a change.
	ErrNoLeader = errors.New("no leader took it in time")
)

// ErrUnknown: whether the change was made, or will be, is not known.
var ErrUnknown = errors.New("whether the members were changed is not known")

// ErrRemoved: this member was removed from the cluster. Its data directory is of no use any more.
var ErrRemoved = fmt.Errorf("%w for good", rsm.ErrRemoved)

// codes are what an error is on the wire. A code is never given another meaning.
var codes = map[transport.Code]error{
	codeFirstChange + 0:  errNotLeader,
	codeFirstChange + 1:  ErrNoMember,
	codeFirstChange + 2:  ErrAmbiguous,
	codeFirstChange + 3:  ErrExists,
	codeFirstChange + 4:  ErrAddressTaken,
	codeFirstChange + 5:  ErrNotExpected,
	codeFirstChange + 6:  ErrTooMany,
	codeFirstChange + 7:  ErrVotes,
	codeFirstChange + 8:  ErrNotStarted,
	codeFirstChange + 9:  ErrLastVoter,
	codeFirstChange + 10: ErrBeingReplaced,
	codeFirstChange + 11: ErrNotCaughtUp,
	codeFirstChange + 12: ErrLosesQuorum,
	codeFirstChange + 13: ErrBadChange,
	codeFirstChange + 14: ErrNoLeader,
	codeFirstChange + 15: ErrUnknown,
	codeFirstChange + 16: ErrNotAdmitted,
	codeFirstChange + 17: errSoon,
	codeFirstChange + 18: ErrWitness,
	codeFirstChange + 19: ErrTooManyLearners,
	codeFirstChange + 20: ErrOlder,
}

// errNotLeader: the member that was asked as the leader is not. errSoon: the leader can take no change
// for the moment.
var (
	errNotLeader = errors.New("it does not lead")
	errSoon      = errors.New("another change goes on, or the leader has just begun")
)

// told is an error as another member has told it.
type told struct {
	is   error
	text string
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.is }

// toWire makes of an error what a caller is told. Of several of codes in it the outermost counts.
func toWire(err error) error {
	if code, ok := codeOf(err); ok {
		return &transport.Refusal{Code: code, Reason: err.Error()}
	}
	return &transport.Refusal{Code: codeFirstChange + 15, Reason: err.Error()}
}

// codeOf finds the first of codes in an error, in the order of errors.Is.
func codeOf(err error) (transport.Code, bool) {
	for code, known := range codes {
		if err == known {
			return code, true
		}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return codeOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if code, ok := codeOf(one); ok {
				return code, true
			}
		}
	}
	return 0, false
}

// fromWire is the inverse of toWire. An error that is no refusal says that the call failed.
func fromWire(err error) error {
	r := new(transport.Refusal)
	if !errors.As(err, &r) {
		return err
	}
	if known, ok := codes[r.Code]; ok {
		return &told{known, r.Reason}
	}
	if r.Code >= codeFirstChange {
		return &told{ErrUnknown, r.Reason} // of a later version
	}
	return fmt.Errorf("%w: %s", errNotLeader, r.Reason) // it refuses the call itself
}

// classify makes an error of rsm.Node.ChangeConfiguration one of this package.
func classify(err error) error {
	for _, soon := range []error{raft.ErrChangePending, raft.ErrNotReady, raft.ErrTransferring, rsm.ErrBusy, roster.ErrNoRoster} {
		if errors.Is(err, soon) {
			return fmt.Errorf("%w: %w", errSoon, err)
		}
	}
	for _, known := range codes {
		if errors.Is(err, known) {
			return err
		}
	}
	switch {
	case errors.Is(err, rsm.ErrWrongLeader):
		return fmt.Errorf("%w: %w", errNotLeader, err)
	case errors.Is(err, raft.ErrBadConfiguration), errors.Is(err, roster.ErrName), errors.Is(err, roster.ErrAddresses), errors.Is(err, roster.ErrDecode):
		return fmt.Errorf("%w: %w", ErrBadChange, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

func (m *Member) errRemoved() error {
	return fmt.Errorf("%w: %s is no member of cluster %016x any more, and its data directory %s is of no use; with an empty one it can join again, as a new member", ErrRemoved, m.cfg.Name, m.ClusterID(), m.cfg.Dir)
}
