//go:build unix

package machine

import (
	"math"
	"syscall"
)

// DescriptorLimit is how many descriptors this process may have. The Go runtime has
// raised the soft limit to the hard one when the process began.
func DescriptorLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur)
}
