package rsm

import "io"

// StateMachine is what gets replicated. Its methods are called by one goroutine,
// one at a time, with the one exception of the image that Snapshot returns.
type StateMachine[Op, Result any] interface {
	// DoOp executes a committed operation. Every replica executes the same
	// operations in the same order, each once, so DoOp must depend on nothing but
	// the operation and the state before it: not on time, chance or map order.
	DoOp(op Op) Result

	// Snapshot returns an image of the present state. Taking it should be cheap
	// (copy on write), because no operation is executed meanwhile; writing it out may
	// take long and happens in another goroutine while DoOp goes on. If the image is
	// an io.Closer it is closed when done with.
	Snapshot() (io.WriterTo, error)

	// Restore replaces the state by the one that an image wrote. If it fails the
	// replica stops.
	Restore(r io.Reader) error
}

// Codec turns operations into bytes and back.
type Codec[Op any] interface {
	// Append appends the encoding of op to dst.
	Append(dst []byte, op Op) []byte

	// Decode is the inverse of Append. The operation may alias data, which nobody
	// will write to again. It must not fail on what Append made; an error stops the
	// replica, because it can mean only that this program is older than the log.
	Decode(data []byte) (Op, error)
}
