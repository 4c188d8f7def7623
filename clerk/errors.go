package clerk

import (
	"errors"
	"fmt"

	"balsa.example/api"
)

var (
	// ErrVersion: the key is not at the version given, or exists and was to be created.
	// Nothing changed. The error is a *VersionError, which tells the key's version.
	ErrVersion = errors.New("version does not match")

	// ErrNoKey: there is no such key. Nothing changed.
	ErrNoKey = errors.New("no such key")

	// ErrMaybe: the write may have been executed, at most once, or may be yet.
	ErrMaybe = errors.New("may have been executed")

	// ErrEmptyKey: a key has at least one byte.
	ErrEmptyKey = errors.New("key is empty")

	// ErrTooLarge: something is over a limit of the Clerk or the server, and the text says what: a key, a value, or a request; the
	// puts of a transaction that keep values, or the keys that it looks at; or a page of keys in another order. A write was not executed.
	ErrTooLarge = errors.New("too large")

	// ErrInvalid: the server found the request malformed. Its message says why.
	ErrInvalid = errors.New("invalid request")

	// ErrClosed: the Clerk was closed before or during the operation.
	ErrClosed = errors.New("clerk is closed")

	// ErrNoEndpoints: New was given no endpoint.
	ErrNoEndpoints = errors.New("no endpoints given")

	// ErrTLS: this client and the server do not agree about TLS. One of them does not use
	// TLS, or does not accept the other's certificate; the text says which. If that is so of
	// all servers, an operation ends with this error at once, and was not executed.
	ErrTLS = errors.New("no agreement about TLS")

	// ErrPeerPort: the address is the one at which a server listens for other servers. If that is so of
	// all servers, an operation ends with this error at once, and was not executed.
	ErrPeerPort = errors.New("an address for servers, not for clients")

	// ErrUnauthenticated: authentication is on, and the Clerk has no user, or a wrong password.
	// The operation was not executed.
	ErrUnauthenticated = errors.New("not authenticated")

	// ErrPermissionDenied: the Clerk's user may not do that. It was not executed.
	ErrPermissionDenied = errors.New("permission denied")

	// ErrNotSent is for a Caller to wrap: the request was certainly not sent.
	ErrNotSent = errors.New("not sent")
)

// Refusals of what goes beyond one key. Nothing changed.
var (
	// ErrCompacted: the revision to read at is forgotten, or the one to compact at already was.
	ErrCompacted = errors.New("revision has been compacted")

	// ErrFutureRevision: the store has not reached the revision.
	ErrFutureRevision = errors.New("revision is in the future")

	// ErrDuplicateKey: the transaction could change a key twice.
	ErrDuplicateKey = errors.New("transaction changes a key twice")

	// ErrTooManyOps: a list of the transaction is longer than the server allows.
	ErrTooManyOps = errors.New("too many operations in a transaction")

	// ErrNoLease: there is no such lease, or no longer.
	ErrNoLease = errors.New("no such lease")

	// ErrLeaseExists: there is a lease with this id.
	ErrLeaseExists = errors.New("lease exists")

	// ErrLeaseFull: the lease has as many keys as it may have.
	ErrLeaseFull = errors.New("lease has too many keys")

	// ErrLeaseTTL: the time to live is out of the server's bounds.
	ErrLeaseTTL = errors.New("time to live out of bounds")

	// ErrTooManyLeases: there are as many leases and sessions as there may be.
	ErrTooManyLeases = errors.New("too many leases")

	// ErrQuota: the store is at its quota. Reads and deletes go on.
	ErrQuota = errors.New("store is at its quota")

	// ErrNoSpace and ErrCorrupt: somebody has raised an alarm of that name, by the etcd API. It lasts until it
	// is lifted. Reads go on, under NOSPACE also deletes.
	ErrNoSpace = errors.New("an alarm NOSPACE is raised")
	ErrCorrupt = errors.New("an alarm CORRUPT is raised")
)

// errSessionEnded: the write was not executed, since its session has ended or has forgotten the
// number. It can be sent with another number, or in another session.
var errSessionEnded = errors.New("session has ended")

// codeErrors are the errors of refusals that need no more words.
var codeErrors = map[api.Reply_Code]error{
	api.Reply_NO_KEY:          ErrNoKey,
	api.Reply_TOO_LARGE:       ErrTooLarge,
	api.Reply_COMPACTED:       ErrCompacted,
	api.Reply_FUTURE_REVISION: ErrFutureRevision,
	api.Reply_DUPLICATE_KEY:   ErrDuplicateKey,
	api.Reply_TOO_MANY_OPS:    ErrTooManyOps,
	api.Reply_NO_LEASE:        ErrNoLease,
	api.Reply_LEASE_EXISTS:    ErrLeaseExists,
	api.Reply_LEASE_FULL:      ErrLeaseFull,
	api.Reply_LEASE_TTL:       ErrLeaseTTL,
	api.Reply_TOO_MANY_LEASES: ErrTooManyLeases,
	api.Reply_QUOTA:           ErrQuota,
	api.Reply_CORRUPT:         ErrCorrupt,
	api.Reply_NO_SPACE:        ErrNoSpace,
	api.Reply_SESSION_ENDED:   errSessionEnded,

	api.Reply_PERMISSION_DENIED: ErrPermissionDenied,
	api.Reply_UNAUTHENTICATED:   ErrUnauthenticated,
}

// The reasons why an operation was still not done when its context ended. They
// come together with the context's error, never alone.
var (
	// ErrWrongLeader: the server asked last did not lead.
	ErrWrongLeader = errors.New("no leader found")

	// ErrBusy: the leader refused, since a queue or the disk is full.
	ErrBusy = errors.New("server is busy")

	// ErrUnavailable: the server asked last could not be reached, gave no answer, or
	// could not serve the request.
	ErrUnavailable = errors.New("server unavailable")

	// ErrOtherCluster: the server asked last belongs to another cluster than the first server
	// that the Clerk connected to. No request was sent to it: a Clerk uses one cluster for
	// its lifetime. It comes together with ErrUnavailable.
	ErrOtherCluster = errors.New("another cluster")
)

// errChanged is the last attempt's error of an ErrMaybe, or of an operation whose context
// ended right after it.
var errChanged = errors.New("the key has changed")

var errTooManyEndpoints = fmt.Errorf("more than %d endpoints", maxServers)

// VersionError is an ErrVersion that tells the key's version.
type VersionError struct {
	// Expected is the version that was given, Current the key's. It is 0, as the revisions are,
	// if the write was sent again in a session that had no room to remember them.
	Expected, Current uint64
	// CreateRevision and ModRevision are the store's revisions that created and last
	// changed the key.
	CreateRevision, ModRevision uint64
}

func (e *VersionError) Error() string {
	if e.Current == 0 {
		return fmt.Sprintf("%v: key is not at %d", ErrVersion, e.Expected)
	}
	return fmt.Sprintf("%v: key is at %d, not %d", ErrVersion, e.Current, e.Expected)
}

// Is makes the error match ErrVersion.
func (e *VersionError) Is(target error) bool { return target == ErrVersion }

// maybeError is an ErrMaybe with the result of the last attempt. errors.Is does not match
// that result: a refused resend is not an ErrVersion.
type maybeError struct {
	ended error  // why the operation was given up, if it was
	last  string // the error of the last attempt; empty if there was none
}

func (e *maybeError) Error() string {
	return describe(ErrMaybe.Error(), e.ended, e.last)
}

func (e *maybeError) Unwrap() []error {
	if e.ended == nil {
		return []error{ErrMaybe}
	}
	return []error{ErrMaybe, e.ended}
}

// droppedError says that an operation was given up and not executed.
type droppedError struct {
	ended  error // the context's error, or ErrClosed
	reason error // the error of the last attempt, nil if there was none
}

func (e *droppedError) Error() string {
	last := ""
	if e.reason != nil {
		last = e.reason.Error()
	}
	return describe("not executed", e.ended, last)
}

func (e *droppedError) Unwrap() []error {
	if e.reason == nil {
		return []error{e.ended}
	}
	return []error{e.ended, e.reason}
}

func describe(what string, ended error, last string) string {
	if ended != nil {
		what += ": " + ended.Error()
	}
	if last != "" {
		what += " (last attempt: " + last + ")"
	}
	return what
}

// mixedError says that an endpoint is plain where others are not.
type mixedError struct{ endpoint string }

func (e *mixedError) Error() string {
	return fmt.Sprintf("endpoint %q is plain http, but TLS is asked for", e.endpoint)
}
