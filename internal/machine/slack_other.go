//go:build !linux

package machine

// RelaxTimers does nothing on this system.
func RelaxTimers() {}
