//go:build !linux

package clients

import (
	"net"
	"time"
)

func setUserTimeout(net.Conn, time.Duration) {}
