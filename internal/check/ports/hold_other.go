//go:build !linux

package ports

import "testing"

// hold holds nothing here: it is any free port.
func hold(testing.TB) string { return "127.0.0.1:0" }
