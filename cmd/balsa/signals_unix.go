//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreReaders makes a write fail, and nothing else, when whoever reads has ended
// (SIGPIPE), or when it goes to a terminal that is not to be written to from the
// background (SIGTTOU): Go ends a program at the former, the system stops it at the latter.
func ignoreReaders() { signal.Ignore(syscall.SIGPIPE, syscall.SIGTTOU) }
