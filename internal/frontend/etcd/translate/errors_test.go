package translate_test

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
	"balsa.example/rsm"
)

// TestErrorsAreThoseOfEtcd compares code and text: clients tell errors apart by the text.
func TestErrorsAreThoseOfEtcd(t *testing.T) {
	for ours, theirs := range map[*translate.Error]error{
		translate.ErrEmptyKey:                rpctypes.ErrGRPCEmptyKey,
		translate.ErrKeyNotFound:             rpctypes.ErrGRPCKeyNotFound,
		translate.ErrValueProvided:           rpctypes.ErrGRPCValueProvided,
		translate.ErrLeaseProvided:           rpctypes.ErrGRPCLeaseProvided,
		translate.ErrTooManyOps:              rpctypes.ErrGRPCTooManyOps,
		translate.ErrDuplicateKey:            rpctypes.ErrGRPCDuplicateKey,
		translate.ErrInvalidClientAPIVersion: rpctypes.ErrGRPCInvalidClientAPIVersion,
		translate.ErrInvalidSortOption:       rpctypes.ErrGRPCInvalidSortOption,
		translate.ErrPeerURLExist:            rpctypes.ErrGRPCPeerURLExist,
		translate.ErrMemberNotEnoughStarted:  rpctypes.ErrGRPCMemberNotEnoughStarted,
		translate.ErrMemberNotLearner:        rpctypes.ErrGRPCMemberNotLearner,
		translate.ErrLearnerNotReady:         rpctypes.ErrGRPCLearnerNotReady,
		translate.ErrCompacted:               rpctypes.ErrGRPCCompacted,
		translate.ErrFutureRev:               rpctypes.ErrGRPCFutureRev,
		translate.ErrNoSpace:                 rpctypes.ErrGRPCNoSpace,
		translate.ErrLeaseNotFound:           rpctypes.ErrGRPCLeaseNotFound,
		translate.ErrLeaseExist:              rpctypes.ErrGRPCLeaseExist,
		translate.ErrLeaseTTLTooLarge:        rpctypes.ErrGRPCLeaseTTLTooLarge,
		translate.ErrRequestTooLarge:         rpctypes.ErrGRPCRequestTooLarge,
		translate.ErrTooManyRequests:         rpctypes.ErrGRPCRequestTooManyRequests,
		translate.ErrRootUserNotExist:        rpctypes.ErrGRPCRootUserNotExist,
		translate.ErrRootRoleNotExist:        rpctypes.ErrGRPCRootRoleNotExist,
		translate.ErrUserAlreadyExist:        rpctypes.ErrGRPCUserAlreadyExist,
		translate.ErrUserEmpty:               rpctypes.ErrGRPCUserEmpty,
		translate.ErrUserNotFound:            rpctypes.ErrGRPCUserNotFound,
		translate.ErrRoleAlreadyExist:        rpctypes.ErrGRPCRoleAlreadyExist,
		translate.ErrRoleNotFound:            rpctypes.ErrGRPCRoleNotFound,
		translate.ErrRoleEmpty:               rpctypes.ErrGRPCRoleEmpty,
		translate.ErrAuthFailed:              rpctypes.ErrGRPCAuthFailed,
		translate.ErrPermissionNotGiven:      rpctypes.ErrGRPCPermissionNotGiven,
		translate.ErrPermissionDenied:        rpctypes.ErrGRPCPermissionDenied,
		translate.ErrRoleNotGranted:          rpctypes.ErrGRPCRoleNotGranted,
		translate.ErrPermissionNotGranted:    rpctypes.ErrGRPCPermissionNotGranted,
		translate.ErrAuthNotEnabled:          rpctypes.ErrGRPCAuthNotEnabled,
		translate.ErrInvalidAuthToken:        rpctypes.ErrGRPCInvalidAuthToken,
		translate.ErrInvalidAuthMgmt:         rpctypes.ErrGRPCInvalidAuthMgmt,
		translate.ErrNoLeader:                rpctypes.ErrGRPCNoLeader,
		translate.ErrNotLeader:               rpctypes.ErrGRPCNotLeader,
		translate.ErrUnhealthy:               rpctypes.ErrGRPCUnhealthy,
		translate.ErrLeaderChanged:           rpctypes.ErrGRPCLeaderChanged,
		translate.ErrStopped:                 rpctypes.ErrGRPCStopped,
		translate.ErrTimeout:                 rpctypes.ErrGRPCTimeout,
		translate.ErrTimeoutDueToLeaderFail:  rpctypes.ErrGRPCTimeoutDueToLeaderFail,
		translate.ErrCorrupt:                 rpctypes.ErrGRPCCorrupt,
		translate.ErrMemberNotFound:          rpctypes.ErrGRPCMemberNotFound,
		translate.ErrMemberBadURLs:           rpctypes.ErrGRPCMemberBadURLs,
		translate.ErrBadLeaderTransferee:     rpctypes.ErrGRPCBadLeaderTransferee,
		translate.ErrCanceled:                rpctypes.ErrGRPCCanceled,

		translate.ErrWrongDowngradeVersionFormat:   rpctypes.ErrGRPCWrongDowngradeVersionFormat,
		translate.ErrInvalidDowngradeTargetVersion: rpctypes.ErrGRPCInvalidDowngradeTargetVersion,
		translate.ErrDeadlineExceeded:              rpctypes.ErrGRPCDeadlineExceeded,
	} {
		s, _ := status.FromError(theirs)
		if ours.Text != s.Message() || uint32(ours.Code) != uint32(s.Code()) {
			t.Errorf("%d %q, etcd has %d %q", ours.Code, ours.Text, s.Code(), s.Message())
		}
	}
}

// TestClientsKnowWhetherAWriteWasExecuted: the texts of the first five say that it was not.
func TestClientsKnowWhetherAWriteWasExecuted(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want *translate.Error
	}{
		{&rsm.NotLeaderError{Leader: 2}, translate.ErrNoLeader},
		{rsm.ErrBusy, translate.ErrTooManyRequests},
		{rsm.ErrNotAdmitted, translate.ErrNoSpace},
		{rsm.ErrAlarm, translate.ErrCorrupt},
		{rsm.ErrTooLarge, translate.ErrRequestTooLarge},
		{rsm.ErrUnknown, translate.ErrTimeoutDueToLeaderFail},
		{rsm.ErrStopped, translate.ErrStopped},
		{errors.New("odd"), &translate.Error{Code: translate.Unknown, Text: "etcdserver: odd"}},
	} {
		if got := translate.WriteFailed(tt.err); got.(*translate.Error).Text != tt.want.Text {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestEveryRefusalHasAnError(t *testing.T) {
	if err := translate.Refusal(kv.CodeOK); err != nil {
		t.Error(err)
	}
	for code := kv.CodeVersion; code.Err() != nil && code <= kv.CodeTooManyAlarms; code++ {
		var e *translate.Error
		if err := translate.Refusal(code); !errors.As(err, &e) || e.Text == "" {
			t.Errorf("%v: %v", code, err)
		}
	}
}
