//go:build !unix

package main

// ignoreReaders has nothing to do where readers send no signals.
func ignoreReaders() {}
