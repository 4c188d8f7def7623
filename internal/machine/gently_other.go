//go:build !linux

package machine

// Gently calls f. On Linux others would go first.
func Gently(f func()) { f() }
