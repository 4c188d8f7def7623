package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"balsa/internal/server"
)

// The exit codes. They are part of the interface: scripts rely on them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3 // the key does not exist
	exitVersion     = 4 // the key is at another version
	exitMaybe       = 5 // whether the write happened is not known
	exitUnavailable = 6 // no server could answer in time; nothing was written
)

const exitCodesHelp = `Exit codes:
  0  done
  1  any other error
  2  wrong usage or configuration
  3  the key does not exist
  4  the key is at another version
  5  outcome unknown: the write may have happened
  6  no server could answer in time; nothing was written`

// exitCoder is an error that knows its exit code.
type exitCoder struct {
	code int
	err  error
}

func (e *exitCoder) Error() string { return e.err.Error() }
func (e *exitCoder) Unwrap() error { return e.err }

func withCode(code int, format string, args ...any) error {
	return &exitCoder{code, fmt.Errorf(format, args...)}
}

func usageError(format string, args ...any) error { return withCode(exitUsage, format, args...) }

// exitCode tells with which code the program ends after err.
func exitCode(err error) int {
	var coded *exitCoder
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, server.ErrConfig):
		return exitUsage
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	default:
		return exitError
	}
}

// oneLine is the error's text without line breaks.
func oneLine(err error) string { return strings.Join(strings.Split(err.Error(), "\n"), "; ") }
