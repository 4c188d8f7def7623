//go:build !unix

package server

import "math"

// DescriptorLimit is how many descriptors this process may have.
func DescriptorLimit() int { return math.MaxInt32 }
