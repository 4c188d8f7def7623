//go:build !linux

package main

import "os"

// detachStderr returns the standard error for a server to log to.
func detachStderr() *os.File { return os.Stderr }
