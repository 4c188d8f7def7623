// Package loopback finds addresses on this machine.
package loopback

import (
	"fmt"

	"balsa.example/internal/check/ports"
)

// Free returns n different addresses of the loopback interface, at most ports.MaxRow, that nobody listens on, and
// that the system gives to nobody who asks for any.
func Free(n int) (all []string, err error) {
	first, release, err := ports.Row(n)
	if err != nil {
		return nil, fmt.Errorf("find free ports: %w", err)
	}
	defer release() // who asks listens there at once
	for port := first; port < first+n; port++ {
		all = append(all, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return all, nil
}
