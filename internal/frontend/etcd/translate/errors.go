//balsa:pure

package translate

import (
	"fmt"

	"balsa.example/kv"
)

// Code is the kind of an Error, in gRPC's numbers.
type Code uint32

// The codes that the API uses.
const (
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	OutOfRange         Code = 11
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
	DataLoss           Code = 15
	Unauthenticated    Code = 16
)

// Error is an error as clients of etcd get it. They tell errors apart by the text, byte for byte.
type Error struct {
	Code Code
	Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Errors that etcd has names for: those of its package rpctypes, with the same texts. Only their
// pointers are compared, so each error of a request is one of them, or is made where it is returned.
var (
	ErrEmptyKey                = &Error{InvalidArgument, "etcdserver: key is not provided"}
	ErrKeyNotFound             = &Error{InvalidArgument, "etcdserver: key not found"}
	ErrValueProvided           = &Error{InvalidArgument, "etcdserver: value is provided"}
	ErrLeaseProvided           = &Error{InvalidArgument, "etcdserver: lease is provided"}
	ErrTooManyOps              = &Error{InvalidArgument, "etcdserver: too many operations in txn request"}
	ErrDuplicateKey            = &Error{InvalidArgument, "etcdserver: duplicate key given in txn request"}
	ErrInvalidClientAPIVersion = &Error{InvalidArgument, "etcdserver: invalid client api version"}
	ErrInvalidSortOption       = &Error{InvalidArgument, "etcdserver: invalid sort option"}
	ErrCompacted               = &Error{OutOfRange, "etcdserver: mvcc: required revision has been compacted"}
	ErrFutureRev               = &Error{OutOfRange, "etcdserver: mvcc: required revision is a future revision"}
	ErrNoSpace                 = &Error{ResourceExhausted, "etcdserver: mvcc: database space exceeded"}

	ErrLeaseNotFound    = &Error{NotFound, "etcdserver: requested lease not found"}
	ErrLeaseExist       = &Error{FailedPrecondition, "etcdserver: lease already exists"}
	ErrLeaseTTLTooLarge = &Error{OutOfRange, "etcdserver: too large lease TTL"}

	ErrRequestTooLarge = &Error{InvalidArgument, "etcdserver: request is too large"}
	ErrTooManyRequests = &Error{ResourceExhausted, "etcdserver: too many requests"}
	// ErrTooManyLooks has the code and the first words of ErrRequestTooLarge. It is not ErrTooManyRequests, after which clients
	// of etcd wait and send the same again: that would be refused again. etcd itself has no such bound, and no error.
	ErrTooManyLooks = &Error{InvalidArgument, fmt.Sprintf("etcdserver: request is too large: it takes more than %d looks at keys", kv.MaxLooks)}

	ErrRootUserNotExist     = &Error{FailedPrecondition, "etcdserver: root user does not exist"}
	ErrRootRoleNotExist     = &Error{FailedPrecondition, "etcdserver: root user does not have root role"}
	ErrUserAlreadyExist     = &Error{FailedPrecondition, "etcdserver: user name already exists"}
	ErrUserEmpty            = &Error{InvalidArgument, "etcdserver: user name is empty"}
	ErrUserNotFound         = &Error{FailedPrecondition, "etcdserver: user name not found"}
	ErrRoleAlreadyExist     = &Error{FailedPrecondition, "etcdserver: role name already exists"}
	ErrRoleNotFound         = &Error{FailedPrecondition, "etcdserver: role name not found"}
	ErrRoleEmpty            = &Error{InvalidArgument, "etcdserver: role name is empty"}
	ErrAuthFailed           = &Error{InvalidArgument, "etcdserver: authentication failed, invalid user ID or password"}
	ErrPermissionNotGiven   = &Error{InvalidArgument, "etcdserver: permission not given"}
	ErrPermissionDenied     = &Error{PermissionDenied, "etcdserver: permission denied"}
	ErrRoleNotGranted       = &Error{FailedPrecondition, "etcdserver: role is not granted to the user"}
	ErrPermissionNotGranted = &Error{FailedPrecondition, "etcdserver: permission is not granted to the role"}
	ErrAuthNotEnabled       = &Error{FailedPrecondition, "etcdserver: authentication is not enabled"}
	ErrInvalidAuthToken     = &Error{Unauthenticated, "etcdserver: invalid auth token"}
	ErrInvalidAuthMgmt      = &Error{InvalidArgument, "etcdserver: invalid auth management"}

	ErrNoLeader               = &Error{Unavailable, "etcdserver: no leader"}
	ErrNotLeader              = &Error{FailedPrecondition, "etcdserver: not leader"}
	ErrUnhealthy              = &Error{Unavailable, "etcdserver: unhealthy cluster"}
	ErrLeaderChanged          = &Error{Unavailable, "etcdserver: leader changed"}
	ErrStopped                = &Error{Unavailable, "etcdserver: server stopped"}
	ErrTimeout                = &Error{Unavailable, "etcdserver: request timed out"}
	ErrTimeoutDueToLeaderFail = &Error{Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"}
	ErrCorrupt                = &Error{DataLoss, "etcdserver: corrupt cluster"}
	ErrMemberNotFound         = &Error{NotFound, "etcdserver: member not found"}
	ErrPeerURLExist           = &Error{FailedPrecondition, "etcdserver: Peer URLs already exists"}
	ErrMemberNotEnoughStarted = &Error{FailedPrecondition, "etcdserver: re-configuration failed due to not enough started members"}
	ErrTooManyLearners        = &Error{FailedPrecondition, "etcdserver: too many learner members in cluster"}
	ErrMemberNotLearner       = &Error{FailedPrecondition, "etcdserver: can only promote a learner member"}
	ErrLearnerNotReady        = &Error{FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader"}
	ErrMemberBadURLs          = &Error{InvalidArgument, "etcdserver: given member URLs are invalid"}
	ErrBadLeaderTransferee    = &Error{FailedPrecondition, "etcdserver: bad leader transferee"}

	ErrWrongDowngradeVersionFormat   = &Error{InvalidArgument, "etcdserver: wrong downgrade target version format"}
	ErrInvalidDowngradeTargetVersion = &Error{InvalidArgument, "etcdserver: invalid downgrade target version"}

	ErrCanceled         = &Error{Canceled, "etcdserver: request canceled"}
	ErrWatchCanceled    = &Error{Canceled, "etcdserver: watch canceled"}
	ErrDeadlineExceeded = &Error{DeadlineExceeded, "etcdserver: context deadline exceeded"}
)

// Errors that etcd has no like of.
var (
	// ErrTooManyMembers: a cluster has as many members as it may have.
	ErrTooManyMembers = &Error{FailedPrecondition, "etcdserver: too many members in cluster"}
	ErrLeaseFull      = &Error{ResourceExhausted, "etcdserver: lease has too many keys"}
	ErrTooManyLeases  = &Error{ResourceExhausted, "etcdserver: too many leases"}
	ErrTooManyAlarms  = &Error{ResourceExhausted, "etcdserver: too many alarms"}
	ErrAuthLimit      = &Error{ResourceExhausted, "etcdserver: too many users, roles or permissions"}
	// ErrNoPasswordUser and ErrLongPassword have the texts that etcd sends, which has no names for
	// them.
	ErrNoPasswordUser = &Error{Unknown, "auth: authentication failed, password was given for no password user"}
	ErrLongPassword   = &Error{Unknown, "bcrypt: password length exceeds 72 bytes"}
	// ErrUnreadable lets clients ask another member for what this one cannot read.
	ErrUnreadable = &Error{Unavailable, "etcdserver: this member cannot read it: damaged on its disk, or another state is being installed"}
)
