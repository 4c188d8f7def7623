package rsm

import "io"

// StateMachine is what is replicated. One goroutine calls its methods, one at a time. Only the
// image that Snapshot returns is used by another goroutine.
type StateMachine[Op, Result any] interface {
	// DoOp executes a committed operation. Every replica executes the same
	// operations in the same order, each once, so DoOp must depend on nothing but
	// the operation and the state before it: not on time, chance or map order.
	DoOp(op Op) Result

	// Snapshot returns an image of the present state. It should be cheap (copy on write),
	// because no operation is executed meanwhile. The image is written in another goroutine
	// while DoOp goes on, and that may take long. If the image is an io.Closer, it is closed
	// after its last use.
	Snapshot() (io.WriterTo, error)

	// Restore replaces the state by the one that an image wrote. If it fails, the replica
	// stops.
	Restore(r io.Reader) error
}

// Codec turns operations into bytes and back.
type Codec[Op any] interface {
	// Append appends the encoding of op to dst.
	Append(dst []byte, op Op) []byte

	// Decode is the inverse of Append. The operation may alias data, which is not written to
	// again. It must not fail on what Append made: an error stops the replica, because it
	// means that the log was written by a newer program.
	Decode(data []byte) (Op, error)
}
