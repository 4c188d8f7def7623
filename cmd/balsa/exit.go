package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"balsa.example/internal/etcdconfig"
	"balsa.example/internal/server"
	"balsa.example/internal/terminal"
	"balsa.example/member"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/wal"
)

// The exit codes. They are part of the interface, since scripts use them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3  // the key does not exist
	exitVersion     = 4  // the key is at another version
	exitMaybe       = 5  // whether the write happened is not known
	exitUnavailable = 6  // no server could answer in time; nothing was written
	exitUnreported  = 7  // done, but the result could not be printed
	exitDiverged    = 8  // a server whose state differs from that of a majority
	exitLostLog     = 9  // a server that has lost entries which it had acknowledged
	exitCompacted   = 10 // the revision to read or watch from is forgotten
	exitElse        = 11 // a condition of a transaction did not hold
	exitLost        = 12 // a lock, or the lead, was lost
	exitHeld        = 13 // a lock is held by another
	exitDenied      = 14 // the user may not do that, or is not the one it says
	exitRemoved     = 15 // a server that was removed from the cluster
	exitAddress     = 16 // a server whose address is another member's
	exitDamaged     = 17 // what is on the disk is not what was written
	exitRefused     = 18 // a change of the members makes no sense, or would do harm
	exitBehind      = 19 // a member is not caught up
	exitProblem     = 20 // doctor has found a problem
)

// exitMeanings says what they mean in general.
var exitMeanings = map[int]string{
	exitOK:          "done",
	exitError:       "not done, for any other reason; nothing was written",
	exitUsage:       "wrong usage",
	exitNotFound:    "the key, the lease or the member does not exist",
	exitVersion:     "the key is at another version; nothing changed",
	exitMaybe:       "outcome unknown: the write may have happened",
	exitUnavailable: "no server could answer in time; nothing was written",
	exitCompacted:   "the revision is compacted: it is forgotten",
	exitElse:        "done, but a condition did not hold: the else operations were executed",
	exitLost:        "the lock was lost, or the lead",
	exitHeld:        "another one has the lock, or the lead",
	exitDenied:      "the user may not do that, or its password is wrong; nothing was written",
	exitDamaged:     "files are damaged, or missing; the output says which",
	exitRefused:     "refused, as the text says; nothing changed",
	exitBehind:      "the member is not caught up yet; nothing changed",
	exitUnreported:  "done, but the result could not be printed: the disk is full, or the reader has ended",
}

// exitHelp explains the exit codes of a command in its help.
func exitHelp(codes ...int) string {
	var text strings.Builder
	text.WriteString("Exit codes:")
	if slices.Contains(codes, exitUnavailable) { // a command that asks servers
		codes = append(codes, exitDenied)
	}
	slices.Sort(codes)
	for _, code := range codes {
		fmt.Fprintf(&text, "\n  %-2d %s", code, exitMeanings[code])
	}
	return text.String()
}

// serverExitHelp is exitHelp of the commands that run servers.
const serverExitHelp = `Exit codes:
  0  stopped by SIGINT, SIGTERM or SIGHUP
  1  it could not start or go on; the last line says why
  2  wrong usage or configuration; nothing was changed
  8  its state differs from that of a majority: it must be rebuilt
  9  its disk has lost entries that it had acknowledged: it must be rebuilt
  15 it was removed from the cluster: its data directory is of no use any more
  16 it was started with an address of another member
  17 its log, or the MANIFEST of its state, is damaged: the last line says where`

// exitCoder is an error with an exit code.
type exitCoder struct {
	code int
	err  error
}

func (e *exitCoder) Error() string { return e.err.Error() }
func (e *exitCoder) Unwrap() error { return e.err }

func withCode(code int, format string, args ...any) error {
	return &exitCoder{code, fmt.Errorf(format, args...)}
}

// exitStatus is an exit code without an error to print.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func usageError(format string, args ...any) error { return withCode(exitUsage, format, args...) }

// exitCode returns the program's exit code for err.
func exitCode(err error) int {
	var coded *exitCoder
	var status exitStatus
	var corrupt *wal.CorruptionError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, rsm.ErrRemoved):
		return exitRemoved
	case errors.Is(err, member.ErrAddressTaken):
		return exitAddress
	case errors.Is(err, rsm.ErrDiverged):
		return exitDiverged
	case errors.Is(err, raft.ErrLostLog):
		return exitLostLog
	case errors.As(err, &corrupt), errors.Is(err, state.ErrDamaged):
		return exitDamaged
	case errors.Is(err, server.ErrConfig), errors.Is(err, etcdconfig.ErrUsage):
		return exitUsage
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	default:
		return exitError
	}
}

// dialing is what gRPC wraps around the reason why a server cannot be connected to.
var dialing = regexp.MustCompile(`rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: ([^"]*)"`)

// oneLine is the error's text without line breaks, and without what a terminal would take for a command: servers
// send parts of it.
func oneLine(err error) string {
	return terminal.Clean(dialing.ReplaceAllString(strings.Join(strings.Split(err.Error(), "\n"), "; "), "$1"))
}
