package kv

import (
	"errors"
	"fmt"
)

var (
	// ErrVersion refuses a Put or Delete whose version is not the key's. The Result
	// carries the key's version. Nothing changed.
	ErrVersion = errors.New("kv: version does not match")

	// ErrNoKey refuses a Get or Delete of an absent key, and a Put that names a version
	// above 0 of one. Nothing changed.
	ErrNoKey = errors.New("kv: no such key")

	// ErrChanged refuses a Put or Delete whose UnchangedSince is too low, although the
	// version matches. The key was changed later. Or the key is absent, and it or another
	// key with the same mark was deleted later. Nothing changed.
	ErrChanged = errors.New("kv: key has changed")

	// ErrTooLarge refuses an operation whose key or value is over the server's Limits.
	// It comes from Validate, never from DoOp.
	ErrTooLarge = errors.New("kv: too large")

	// ErrTooManyLooks refuses a transaction that takes more than MaxLooks, before it is executed. More room for the result
	// does not help.
	ErrTooManyLooks = fmt.Errorf("kv: the transaction takes more than %d looks at keys", MaxLooks)

	// ErrEmptyKey refuses an operation without a key. Nothing changed.
	ErrEmptyKey = errors.New("kv: key is empty")

	// ErrUnknownKind refuses an operation whose Kind is none of Get, Put and Delete.
	// Nothing changed.
	ErrUnknownKind = errors.New("kv: unknown kind of operation")

	// ErrCompacted refuses to read at a revision that compaction has removed, and a
	// compaction at or below the last one.
	ErrCompacted = errors.New("kv: revision has been compacted")

	// ErrFutureRevision refuses to read or compact at a revision that the store has not
	// reached.
	ErrFutureRevision = errors.New("kv: revision is in the future")

	// ErrDuplicateKey refuses a transaction that could change a key twice. Nothing changed.
	ErrDuplicateKey = errors.New("kv: a key is changed twice in a transaction")

	// ErrNoLease refuses a put with a lease that does not exist. Nothing changed.
	ErrNoLease = errors.New("kv: no such lease")

	// ErrLeaseFull refuses a put with a lease that has as many keys as it may have. Nothing
	// changed.
	ErrLeaseFull = errors.New("kv: the lease has too many keys")

	// ErrTooManyOps refuses a transaction with too many operations or compares. It comes from
	// Validate, never from the store.
	ErrTooManyOps = errors.New("kv: too many operations in a transaction")

	// ErrInvalid refuses an operation that makes no sense. The text names the field.
	ErrInvalid = errors.New("kv: invalid operation")

	// ErrQuota refuses a write that would let the store grow beyond its quota. Nothing changed.
	ErrQuota = errors.New("kv: the store is at its quota")

	// ErrNoSpace and ErrCorrupt refuse a command while somebody has raised an alarm of that name. Nothing
	// changed.
	ErrNoSpace = errors.New("kv: an alarm NOSPACE is raised")
	ErrCorrupt = errors.New("kv: an alarm CORRUPT is raised")
	// ErrNoAlarm refuses to lift an alarm that is not raised, ErrTooManyAlarms to raise one more.
	ErrNoAlarm       = errors.New("kv: the alarm is not raised")
	ErrTooManyAlarms = errors.New("kv: too many alarms")

	// ErrUnreadable says that the replica that was asked cannot read what another one can: a value is damaged on its disk,
	// of which nothing is returned, or it has no index while it installs another state.
	ErrUnreadable = errors.New("kv: this replica cannot read it: damaged on its disk, or another state is being installed")

	// ErrLeaseExists refuses to grant a lease whose number one has that lives. Nothing changed.
	ErrLeaseExists = errors.New("kv: lease already exists")

	// ErrLeaseTTL and ErrTooManyLeases refuse to grant a lease as well.
	ErrLeaseTTL      = errors.New("kv: time to live of the lease is out of range")
	ErrTooManyLeases = errors.New("kv: too many leases")

	// ErrForgotten refuses a command of a session that has ended, or that keeps the outcome of
	// this command no longer. The command may have been executed earlier. It was not now.
	ErrForgotten = errors.New("kv: the outcome of the command is not known any more")

	// ErrPermissionDenied, ErrInvalidToken and ErrNoUser refuse a command or a read while
	// authentication is on: the user may not do that; the user is gone or has another password
	// since the token was made; or there is no user at all. Nothing changed.
	ErrPermissionDenied = errors.New("kv: permission denied")
	ErrInvalidToken     = errors.New("kv: invalid token")
	ErrNoUser           = errors.New("kv: user name is empty")

	// The others refuse a change of users and roles (package state/auth). Nothing changed.
	ErrUserNotFound         = errors.New("kv: user not found")
	ErrUserExists           = errors.New("kv: user already exists")
	ErrNoRole               = errors.New("kv: role name is empty")
	ErrRoleNotFound         = errors.New("kv: role not found")
	ErrRoleExists           = errors.New("kv: role already exists")
	ErrRoleNotGranted       = errors.New("kv: role is not granted to the user")
	ErrPermissionNotGranted = errors.New("kv: permission is not granted to the role")
	ErrNoRootUser           = errors.New("kv: there is no user root")
	ErrNoRootRole           = errors.New("kv: the user root does not have the role root")
	// ErrAuthChange refuses what would leave nobody with the role root while authentication is
	// on, and a permission for a span that is none.
	ErrAuthChange = errors.New("kv: invalid change of users and roles")
	// ErrAuthLimit refuses what is over a limit of package state/auth.
	ErrAuthLimit = errors.New("kv: too many users, roles or permissions")
)

// Code is the outcome of an operation as a number. The numbers are part of the wire
// format and never change their meaning.
type Code uint8

const (
	CodeOK          Code = 0
	CodeVersion     Code = 1 // ErrVersion
	CodeNoKey       Code = 2 // ErrNoKey
	CodeTooLarge    Code = 3 // ErrTooLarge
	CodeEmptyKey    Code = 4 // ErrEmptyKey
	CodeUnknownKind Code = 5 // ErrUnknownKind
	CodeChanged     Code = 6 // ErrChanged

	CodeCompacted      Code = 7  // ErrCompacted
	CodeFutureRevision Code = 8  // ErrFutureRevision
	CodeDuplicateKey   Code = 9  // ErrDuplicateKey
	CodeNoLease        Code = 10 // ErrNoLease
	CodeLeaseFull      Code = 11 // ErrLeaseFull
	CodeTooManyOps     Code = 12 // ErrTooManyOps
	CodeInvalid        Code = 13 // ErrInvalid
	CodeQuota          Code = 14 // ErrQuota
	CodeUnreadable     Code = 15 // ErrUnreadable
	CodeLeaseExists    Code = 16 // ErrLeaseExists
	CodeForgotten      Code = 17 // ErrForgotten
	CodeLeaseTTL       Code = 18 // ErrLeaseTTL
	CodeTooManyLeases  Code = 19 // ErrTooManyLeases
	CodeNoSpace        Code = 20 // ErrNoSpace
	CodeCorrupt        Code = 21 // ErrCorrupt
	CodeNoAlarm        Code = 22 // ErrNoAlarm
	CodeTooManyAlarms  Code = 23 // ErrTooManyAlarms

	CodePermissionDenied     Code = 32 // ErrPermissionDenied
	CodeInvalidToken         Code = 33 // ErrInvalidToken
	CodeNoUser               Code = 34 // ErrNoUser
	CodeUserNotFound         Code = 35 // ErrUserNotFound
	CodeUserExists           Code = 36 // ErrUserExists
	CodeNoRole               Code = 37 // ErrNoRole
	CodeRoleNotFound         Code = 38 // ErrRoleNotFound
	CodeRoleExists           Code = 39 // ErrRoleExists
	CodeRoleNotGranted       Code = 40 // ErrRoleNotGranted
	CodePermissionNotGranted Code = 41 // ErrPermissionNotGranted
	CodeNoRootUser           Code = 42 // ErrNoRootUser
	CodeNoRootRole           Code = 43 // ErrNoRootRole
	CodeAuthChange           Code = 44 // ErrAuthChange
	CodeAuthLimit            Code = 45 // ErrAuthLimit
)

var codeErrors = [...]error{
	CodeVersion:     ErrVersion,
	CodeNoKey:       ErrNoKey,
	CodeTooLarge:    ErrTooLarge,
	CodeEmptyKey:    ErrEmptyKey,
	CodeUnknownKind: ErrUnknownKind,
	CodeChanged:     ErrChanged,

	CodeCompacted:      ErrCompacted,
	CodeFutureRevision: ErrFutureRevision,
	CodeDuplicateKey:   ErrDuplicateKey,
	CodeNoLease:        ErrNoLease,
	CodeLeaseFull:      ErrLeaseFull,
	CodeTooManyOps:     ErrTooManyOps,
	CodeInvalid:        ErrInvalid,
	CodeQuota:          ErrQuota,
	CodeUnreadable:     ErrUnreadable,
	CodeLeaseExists:    ErrLeaseExists,
	CodeForgotten:      ErrForgotten,
	CodeLeaseTTL:       ErrLeaseTTL,
	CodeTooManyLeases:  ErrTooManyLeases,
	CodeNoSpace:        ErrNoSpace,
	CodeCorrupt:        ErrCorrupt,
	CodeNoAlarm:        ErrNoAlarm,
	CodeTooManyAlarms:  ErrTooManyAlarms,

	CodePermissionDenied:     ErrPermissionDenied,
	CodeInvalidToken:         ErrInvalidToken,
	CodeNoUser:               ErrNoUser,
	CodeUserNotFound:         ErrUserNotFound,
	CodeUserExists:           ErrUserExists,
	CodeNoRole:               ErrNoRole,
	CodeRoleNotFound:         ErrRoleNotFound,
	CodeRoleExists:           ErrRoleExists,
	CodeRoleNotGranted:       ErrRoleNotGranted,
	CodePermissionNotGranted: ErrPermissionNotGranted,
	CodeNoRootUser:           ErrNoRootUser,
	CodeNoRootRole:           ErrNoRootRole,
	CodeAuthChange:           ErrAuthChange,
	CodeAuthLimit:            ErrAuthLimit,
}

// Err returns the sentinel error that c stands for, nil for CodeOK. A code from a newer
// program gives an error that matches none of the sentinels.
func (c Code) Err() error {
	if c == CodeOK || int(c) < len(codeErrors) && codeErrors[c] != nil {
		return codeErrors[c]
	}
	return fmt.Errorf("kv: unknown result code %d", uint8(c))
}

func (c Code) String() string {
	if c == CodeOK {
		return "ok"
	}
	return c.Err().Error()
}

// CodeOf returns the code of the sentinel that err is or wraps, CodeOK for nil, and
// false if err is none of them.
func CodeOf(err error) (Code, bool) {
	if err == nil {
		return CodeOK, true
	}
	for c, sentinel := range codeErrors {
		if sentinel != nil && errors.Is(err, sentinel) {
			return Code(c), true
		}
	}
	return 0, false
}

// Result is the outcome of one operation. Whatever the outcome, it describes the key
// and the store as they were right after the operation.
type Result struct {
	Code Code
	// Value is the key's value where Get found one, nil otherwise. It is shared with
	// the store and with other readers: it must not be written to.
	Value []byte
	// Version, CreateRevision and ModRevision are the key's, zero where it is absent:
	// after ErrVersion they tell which version is there, after Put the new one.
	Version        uint64
	CreateRevision uint64
	ModRevision    uint64
	// Lease is the one that the key hangs on, 0 if there is none.
	Lease int64
	// Revision is the store's.
	Revision uint64
	// DeleteRevision is set if a Put or Delete was refused: the revision of the key's last
	// Delete, 0 if there was none. It may be too high, since keys share marks.
	DeleteRevision uint64
}

// Err returns nil, or the sentinel error of the refusal.
func (r Result) Err() error { return r.Code.Err() }
