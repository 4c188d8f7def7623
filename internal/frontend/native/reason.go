package native

import (
	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/internal/metrics"
)

// failures says which codes of replies are failures, and why. BUSY has several reasons: see reasonOf.
var failures = map[api.Reply_Code]string{
	api.Reply_WRONG_LEADER:      metrics.FailedLeader,
	api.Reply_UNKNOWN:           metrics.FailedUnknown,
	api.Reply_TOO_LARGE:         metrics.FailedSize,
	api.Reply_TOO_MANY_OPS:      metrics.FailedSize,
	api.Reply_LEASE_FULL:        metrics.FailedSize,
	api.Reply_TOO_MANY_LEASES:   metrics.FailedSize,
	api.Reply_INVALID:           metrics.FailedInvalid,
	api.Reply_UNAVAILABLE:       metrics.FailedUnavailable,
	api.Reply_QUOTA:             metrics.FailedQuota,
	api.Reply_NO_SPACE:          metrics.FailedAlarm,
	api.Reply_CORRUPT:           metrics.FailedAlarm,
	api.Reply_PERMISSION_DENIED: metrics.FailedUser,
	api.Reply_UNAUTHENTICATED:   metrics.FailedUser,
}

// busy says why a request got BUSY, by what the reply says.
var busy = map[string]string{
	translate.TextLowSpace:  metrics.FailedDisk,
	translate.TextNoSpace:   metrics.FailedDisk,
	translate.TextLowMemory: metrics.FailedMemory,
	translate.TextLowPlaces: metrics.FailedMemory,
	translate.TextLate:      metrics.FailedLate,
	textClientReplies:       metrics.FailedBound,
	textServerReplies:       metrics.FailedBound,

	refusalOf[clients.OverClient].Message: metrics.FailedBound,
	refusalOf[clients.OverServer].Message: metrics.FailedBound,
}

// reasonOf is why a request failed that has this reply; empty if it did not.
func reasonOf(r *api.Reply) string {
	switch r.Code {
	case api.Reply_OK: // most are: nothing is looked up for them
		return ""
	case api.Reply_BUSY:
		if reason, ok := busy[r.Message]; ok {
			return reason
		}
		return metrics.FailedQueue
	}
	return failures[r.Code]
}
