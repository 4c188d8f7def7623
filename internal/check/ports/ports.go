// Package ports gives tests ports that stay theirs: a server that is stopped and started again
// listens where it did before.
package ports

import (
	"net"
	"sync/atomic"
	"testing"
)

var held atomic.Int64

// Held returns how many descriptors this package has open.
func Held() int { return int(held.Load()) }

// Listen listens on a port of the loopback network. The port belongs to the test until that ends:
// also while nobody listens on it, when connections to it are refused, the system gives it to
// nobody else. Without that another process may have it when the test wants to listen again.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", hold(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}
