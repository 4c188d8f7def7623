package rsm

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is the time since the machine was booted, that during which it was suspended
// included: Go's own monotonic clock stops then.
var bootTime = func() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(fmt.Sprintf("read CLOCK_BOOTTIME: %v", err)) // Linux has it since 2.6.39
	}
	return time.Duration(t.Nano())
}
