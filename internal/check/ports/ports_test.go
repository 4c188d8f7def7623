//go:build linux

package ports

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// anyOf asks for any port, of which the system may choose this one only.
func anyOf(t *testing.T, port int) error {
	const localPortRange = 51 // IP_LOCAL_PORT_RANGE, since Linux 6.3
	control := func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, localPortRange, port<<16|port)
		})
		if errors.Is(err, syscall.ENOPROTOOPT) {
			t.Skip("this system is too old to tell")
		}
		return err
	}
	l, err := (&net.ListenConfig{Control: control}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err == nil {
		err = l.Close()
	}
	return err
}

// TestPortStaysOurs: after the listener is closed nobody who asks for any port gets it, connections
// are refused, and the test can listen there again.
func TestPortStaysOurs(t *testing.T) {
	ours := Listen(t)
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", ours.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connected to a port without a listener: %v, %v", conn, err)
	}
	if err := anyOf(t, ours.Addr().(*net.TCPAddr).Port); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another gets the port: %v", err)
	}
	again, err := net.Listen("tcp", ours.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
