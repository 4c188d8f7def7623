// Package wake lets goroutines wake another one that sleeps until there is work.
//
//	worker                          others
//	for range signal.C() {          add work, then signal.Set()
//		take all work there is
//	}
//
// A Signal remembers that it was set, not how often. A worker that takes all work after each
// wake-up therefore misses none: what was added before Set is taken now, and what is added
// while the worker takes sets the Signal again. A wake-up may find no work.
package wake

// Signal wakes one goroutine. Copies are the same Signal. New makes one; the zero Signal wakes nobody.
type Signal struct{ c chan struct{} }

// New returns a Signal that is not set.
func New() Signal { return Signal{make(chan struct{}, 1)} }

// Set wakes the goroutine that waits, or else the next one to wait. It never blocks.
func (s Signal) Set() {
	select {
	case s.c <- struct{}{}:
	default: // it is set, and nobody has seen that yet
	}
}

// C delivers a value when the Signal is set, which unsets it.
func (s Signal) C() <-chan struct{} { return s.c }

// Closed tells whether a channel on which nothing is sent is closed.
func Closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
