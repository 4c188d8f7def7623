package ports

import (
	"fmt"
	"syscall"
	"testing"
)

// hold binds a socket to a free port until the test ends, and returns the address. It does not
// listen, so that others that say SO_REUSEADDR, as package net does, can listen there. The system
// does not choose a port that is bound for anybody who asks for any.
func hold(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	held.Add(1)
	t.Cleanup(func() {
		_ = syscall.Close(fd)
		held.Add(-1)
	})
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", address.(*syscall.SockaddrInet4).Port)
}
