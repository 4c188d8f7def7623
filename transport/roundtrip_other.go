//go:build !linux

package transport

import (
	"net"
	"time"
)

func roundTrip(net.Conn) (time.Duration, bool) { return 0, false }
