// Package dialing connects by TCP to a name, which it looks up again at each attempt: the
// address behind a name may change.
package dialing

import (
	"context"
	"errors"
	"net"
	"time"
)

// Dial connects to host:port. A host that is a name is looked up each time (see names). Each of
// its addresses gets an equal share of the time that ctx leaves, so that an address without an
// answer, as after a move, does not use up the time of the others. (A net.Dialer gives 2 s to
// the first.)
func Dial(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	hosts, err := resolver.of(ctx, host)
	if err != nil {
		return nil, err
	}
	return inTurn(ctx, hosts, func(ctx context.Context, host string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	})
}

// inTurn dials hosts until one answers. Its error is that of the last host.
func inTurn(ctx context.Context, hosts []string, dial func(ctx context.Context, host string) (net.Conn, error)) (net.Conn, error) {
	err := errors.New("the name has no address")
	for i, host := range hosts {
		share, cancel := ctx, context.CancelFunc(func() {})
		if deadline, bounded := ctx.Deadline(); bounded {
			share, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(hosts)-i))
		}
		var conn net.Conn
		conn, err = dial(share, host)
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}
