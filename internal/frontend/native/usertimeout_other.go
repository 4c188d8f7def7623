//go:build !linux

package native

import (
	"net"
	"time"
)

func setUserTimeout(net.Conn, time.Duration) {}
