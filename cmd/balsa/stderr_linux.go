package main

import (
	"os"
	"syscall"
)

// detachStderr returns the standard error for a server to log to. Go's runtime writes the text of a
// panic to file descriptor 2 itself, and would wait for a reader that has stopped. So if the
// standard error is a pipe, it is opened again as non-blocking, which does not affect other
// processes that write to it. The part of a panic's text that does not fit into the pipe is lost
// then. This is not possible with sockets, nor without /proc.
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
