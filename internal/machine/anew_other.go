//go:build !linux

package machine

// StartAnew does nothing on this system.
func StartAnew() {}
