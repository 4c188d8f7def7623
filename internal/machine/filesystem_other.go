//go:build !linux

package machine

// FileSystem is not known here.
func FileSystem(string) string { return "" }
