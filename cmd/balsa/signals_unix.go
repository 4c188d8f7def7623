//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreWriteSignals ignores the signals of two kinds of writes, so that such a write only fails:
// to a pipe whose reader has ended (SIGPIPE; Go would end the program), and from the background to
// a terminal that does not allow that (SIGTTOU; the system would stop the program).
func ignoreWriteSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGTTOU) }
