//go:build !unix

package main

import "os"

// ignoreWriteSignals does nothing: there are no signals for writes here.
func ignoreWriteSignals() {}

// endBy does nothing: a program cannot end itself by a signal here.
func endBy(os.Signal) {}
