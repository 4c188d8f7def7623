package main

import (
	"os"
	"syscall"
)

// detachStderr returns the standard error for a server to log to. Where that is a pipe,
// it does away with the last way in which a reader that has stopped could hold the server
// up: Go's runtime writes the text of a panic to file descriptor 2 itself, and waits. The
// pipe is opened once more, so as not to wait, which changes nothing for others who write
// to it; what has no room of a panic's text is lost then. This is not possible with
// sockets, nor without /proc.
func detachStderr() *os.File {
	var s syscall.Stat_t
	if err := syscall.Fstat(2, &s); err != nil || s.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return os.Stderr
	}
	fd, err := syscall.Open("/proc/self/fd/2", syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return os.Stderr
	}
	if err := syscall.Dup3(fd, 2, 0); err != nil {
		syscall.Close(fd)
		return os.Stderr
	}
	return os.NewFile(uintptr(fd), os.Stderr.Name())
}
