//balsa:pure

package translate

import (
	"errors"

	"balsa.example/kv"
	"balsa.example/rsm"
	"balsa.example/state"
)

// codes gives the error of a result. What is not in it makes no sense in a request of this API.
var codes = map[kv.Code]*Error{
	kv.CodeNoKey:          ErrKeyNotFound,
	kv.CodeTooLarge:       ErrRequestTooLarge,
	kv.CodeEmptyKey:       ErrEmptyKey,
	kv.CodeCompacted:      ErrCompacted,
	kv.CodeFutureRevision: ErrFutureRev,
	kv.CodeDuplicateKey:   ErrDuplicateKey,
	kv.CodeNoLease:        ErrLeaseNotFound,
	kv.CodeLeaseFull:      ErrLeaseFull,
	kv.CodeTooManyOps:     ErrTooManyOps,
	kv.CodeQuota:          ErrNoSpace,
	kv.CodeUnreadable:     ErrUnreadable,
	kv.CodeLeaseExists:    ErrLeaseExist,
	kv.CodeLeaseTTL:       ErrLeaseTTLTooLarge,
	kv.CodeTooManyLeases:  ErrTooManyLeases,
	kv.CodeNoSpace:        ErrNoSpace,
	kv.CodeCorrupt:        ErrCorrupt,
	kv.CodeTooManyAlarms:  ErrTooManyAlarms,

	kv.CodePermissionDenied:     ErrPermissionDenied,
	kv.CodeInvalidToken:         ErrInvalidAuthToken,
	kv.CodeNoUser:               ErrUserEmpty,
	kv.CodeUserNotFound:         ErrUserNotFound,
	kv.CodeUserExists:           ErrUserAlreadyExist,
	kv.CodeNoRole:               ErrRoleEmpty,
	kv.CodeRoleNotFound:         ErrRoleNotFound,
	kv.CodeRoleExists:           ErrRoleAlreadyExist,
	kv.CodeRoleNotGranted:       ErrRoleNotGranted,
	kv.CodePermissionNotGranted: ErrPermissionNotGranted,
	kv.CodeNoRootUser:           ErrRootUserNotExist,
	kv.CodeNoRootRole:           ErrRootRoleNotExist,
	kv.CodeAuthChange:           ErrInvalidAuthMgmt,
	kv.CodeAuthLimit:            ErrAuthLimit,
}

// Refusal is the error of a command that was executed with a code; nil for kv.CodeOK.
func Refusal(code kv.Code) error {
	if code == kv.CodeOK {
		return nil
	}
	if known, ok := codes[code]; ok {
		return known
	}
	return &Error{InvalidArgument, "etcdserver: " + code.Err().Error()}
}

// invalid is the error of a request that package kv does not validate.
func invalid(err error) error {
	if code, ok := kv.CodeOf(err); ok {
		if known, ok := codes[code]; ok {
			return known
		}
	}
	return &Error{InvalidArgument, "etcdserver: " + err.Error()}
}

// WriteFailed is the error of a command without a result. Clients do not send a write again on
// any of them. The first seven say that the command was not executed; the others leave it open.
func WriteFailed(err error) error {
	switch {
	case errors.Is(err, rsm.ErrWrongLeader):
		return ErrNoLeader
	case errors.Is(err, rsm.ErrNotAdmitted):
		return ErrNoSpace
	case errors.Is(err, rsm.ErrBusy):
		return ErrTooManyRequests
	case errors.Is(err, rsm.ErrAlarm):
		return ErrCorrupt
	case errors.Is(err, kv.ErrTooManyLooks):
		return ErrTooManyLooks
	case errors.Is(err, rsm.ErrTooLarge):
		return ErrRequestTooLarge
	case errors.Is(err, state.ErrVersion):
		return &Error{FailedPrecondition, "etcdserver: " + err.Error()}
	case errors.Is(err, rsm.ErrUnknown):
		return ErrTimeoutDueToLeaderFail
	case errors.Is(err, rsm.ErrStopped):
		return ErrStopped
	}
	return &Error{Unknown, "etcdserver: " + err.Error()}
}

// ReadFailed is the error of a read that could not be made, or not be made fresh.
func ReadFailed(err error) error {
	if known := (*Error)(nil); errors.As(err, &known) {
		return known
	}
	if code, ok := kv.CodeOf(err); ok {
		return Refusal(code)
	}
	switch {
	case errors.Is(err, kv.ErrTooManyLooks):
		return ErrTooManyLooks
	case errors.Is(err, rsm.ErrWrongLeader):
		return ErrNoLeader
	case errors.Is(err, rsm.ErrBusy):
		return ErrTooManyRequests
	case errors.Is(err, rsm.ErrStopped):
		return ErrStopped
	}
	return &Error{Unavailable, "etcdserver: " + err.Error()}
}
