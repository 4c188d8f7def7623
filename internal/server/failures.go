package server

import (
	"google.golang.org/grpc/codes"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/metrics"
)

// failedCodes says which codes of calls are failures, and why. What a client has asked for itself, and
// what it has canceled, is none.
var failedCodes = map[codes.Code]string{
	codes.ResourceExhausted: metrics.FailedBound,
	codes.Unavailable:       metrics.FailedUnavailable,
	codes.DeadlineExceeded:  metrics.FailedUnknown,
	codes.Unauthenticated:   metrics.FailedUser,
	codes.PermissionDenied:  metrics.FailedUser,
	codes.DataLoss:          metrics.FailedAlarm,
	codes.InvalidArgument:   metrics.FailedInvalid,
	codes.Unimplemented:     metrics.FailedInvalid,
	codes.Unknown:           metrics.FailedOther,
	codes.Internal:          metrics.FailedOther,
}

// failedTexts are the errors of the etcd API whose code has several reasons, or is none of a failure
// elsewhere. Locks and elections have none at all.
var failedTexts = map[string]string{
	translate.ErrNoSpace.Text:                metrics.FailedQuota,
	translate.ErrNoLeader.Text:               metrics.FailedLeader,
	translate.ErrLeaderChanged.Text:          metrics.FailedLeader,
	translate.ErrNotLeader.Text:              metrics.FailedLeader,
	translate.ErrTimeout.Text:                metrics.FailedUnknown,
	translate.ErrTimeoutDueToLeaderFail.Text: metrics.FailedUnknown,
	translate.ErrRequestTooLarge.Text:        metrics.FailedSize,
	translate.ErrTooManyOps.Text:             metrics.FailedSize,
	translate.ErrLeaseFull.Text:              metrics.FailedSize,
	translate.ErrTooManyLeases.Text:          metrics.FailedSize,
	translate.ErrAuthFailed.Text:             metrics.FailedUser,
	translate.ErrUserEmpty.Text:              metrics.FailedUser,
	translate.ErrPermissionDenied.Text:       metrics.FailedUser,
	translate.ErrInvalidAuthToken.Text:       metrics.FailedUser,
	translate.ErrEmptyKey.Text:               metrics.FailedInvalid,
}

// failedBecause is metrics.Calls.Reason.
func failedBecause(code codes.Code, text string) string {
	if reason, ok := failedTexts[text]; ok {
		return reason
	}
	return failedCodes[code]
}
