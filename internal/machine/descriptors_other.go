//go:build !unix

package machine

import "math"

// DescriptorLimit is how many descriptors this process may have.
func DescriptorLimit() int { return math.MaxInt32 }
