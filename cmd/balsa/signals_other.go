//go:build !unix

package main

// ignoreWriteSignals does nothing: there are no signals for writes here.
func ignoreWriteSignals() {}
