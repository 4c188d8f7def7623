//go:build unix

package machine

import (
	"syscall"
	"time"
)

// ProcessorTime is how long this process has used the processors, all its threads together; false if that
// is not known.
func ProcessorTime() (time.Duration, bool) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, false
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), true
}
