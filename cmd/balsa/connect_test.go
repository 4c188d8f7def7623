package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/clerk"
)

// A newcomer's first command often finds no server.
func TestNobodyAnswers(t *testing.T) {
	var n connection
	flags := n.newFlags()
	if err := n.explainCall("put a", context.DeadlineExceeded); !strings.Contains(err.Error(), `"balsa dev" runs some`) {
		t.Errorf("it says %v", err)
	}
	if err := flags.Parse([]string{"--endpoints", "10.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	if err := n.explainCall("put a", context.DeadlineExceeded); strings.Contains(err.Error(), "balsa dev") || exitCode(err) != exitUnavailable {
		t.Errorf("of servers that were named it says %v", err)
	}
	busy := fmt.Errorf("put: %w", errors.Join(context.DeadlineExceeded, fmt.Errorf("%w: the disk is full", clerk.ErrBusy)))
	if err := n.explainCall("put a", busy); strings.Contains(err.Error(), "majority") || !strings.Contains(oneLine(err), "server is busy: the disk is full") || exitCode(err) != exitUnavailable {
		t.Errorf("of a server that is busy it says %v", err)
	}
	denied := n.explainCall("backup", clerk.ErrPermissionDenied)
	if err := explainBackup(&n, denied); exitCode(err) != exitDenied || err.Error() != "backup: permission denied; see --user" {
		t.Errorf("of what was explained already it says %v", err)
	}
	refused := status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.1:1: connect: connection refused"`)
	if got := oneLine(errors.Join(refused, errors.New("b"))); got != "dial tcp 10.0.0.1:1: connect: connection refused; b" {
		t.Errorf("it says %s", got)
	}
}
