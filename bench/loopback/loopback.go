// Package loopback finds addresses on this machine.
package loopback

import (
	"fmt"
	"net"
)

// Free returns n different addresses of the loopback interface that nobody listens on.
func Free(n int) (all []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // after all are found, so that no two are the same
		all = append(all, l.Addr().String())
	}
	return all, nil
}
