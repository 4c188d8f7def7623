//go:build !linux

package rsm

import "time"

// bootTime is nil: no clock is known here that goes on while the machine is suspended.
var bootTime func() time.Duration
