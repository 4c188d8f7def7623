//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ignoreWriteSignals ignores the signals of two kinds of writes, so that such a write only fails:
// to a pipe whose reader has ended (SIGPIPE; Go would end the program), and from the background to
// a terminal that does not allow that (SIGTTOU; the system would stop the program).
func ignoreWriteSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGTTOU) }

// endBy ends the program by a signal that it has caught, for those who look at how it ended. Where the signal is
// ignored, as a shell has it for SIGINT of what it starts in the background, the exit code is the one that a shell
// tells of such an end. It returns if it cannot: process 1 is not ended by its own signals.
func endBy(s os.Signal) {
	number, ok := s.(syscall.Signal)
	if !ok || os.Getpid() == 1 {
		return
	}
	signal.Reset(number)
	if syscall.Kill(os.Getpid(), number) == nil {
		time.Sleep(time.Second) // the signal comes meanwhile
		os.Exit(128 + int(number))
	}
}
