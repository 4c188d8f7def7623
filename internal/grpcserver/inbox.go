package grpcserver

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// prefixSize is the length in bytes of what gRPC puts before a message: a flag, and its size.
const prefixSize = 5

// inbox has what a client has sent on a stream, and a handler has not taken. It is at most a window, but
// for a message that somebody waits for, and that is at most Config.MaxMessageBytes.
type inbox struct {
	mu    sync.Mutex
	data  []byte
	ended bool          // the client sends no more
	err   error         // the stream is over
	came  chan struct{} // has room for one; nil while nobody may wait

	// The client may send window bytes more. It gets credit for what was taken, and for what is waited
	// for; of data, kept bytes are neither.
	window int
	kept   int
	owed   int
	hungry bool
}

// put adds what has come: payload, and padding bytes of padding. It returns the credit for the client,
// and false if it has sent more than it may. The reader calls it.
func (in *inbox) put(payload []byte, padding, window int, ended bool) (credit int, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.window -= len(payload) + padding; in.window < 0 {
		return 0, false
	}
	if in.err != nil {
		return 0, true // nobody takes it
	}
	in.data = append(in.data, payload...)
	in.ended = in.ended || ended
	in.owed += padding
	if in.hungry {
		in.owed += len(payload)
	} else {
		in.kept += len(payload)
	}
	in.wake()
	return in.credit(window), true
}

// credit is what to tell the client that it may send more: nothing, or half a window at least.
func (in *inbox) credit(window int) (n int) {
	if in.owed < window/2 || in.ended {
		return 0
	}
	n, in.owed = in.owed, 0
	in.window += n
	return n
}

// wait notes that somebody waits for what has not come. Caller holds mu.
func (in *inbox) wait() {
	in.hungry = true
	in.owed += in.kept
	in.kept = 0
}

// wake wakes who waits. Caller holds mu.
func (in *inbox) wake() {
	if in.came != nil {
		select {
		case in.came <- struct{}{}:
		default:
		}
	}
}

// close ends the inbox: who waits gets err.
func (in *inbox) close(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil {
		in.err = err
	}
	in.wake()
}

// take removes the next message. ok is false if it has not come, and may come. At the end it
// returns io.EOF.
func (in *inbox) take(most int, encoding string) (message []byte, ok bool, err error) {
	if in.err != nil {
		return nil, false, in.err
	}
	if len(in.data) < prefixSize {
		switch {
		case !in.ended:
			return nil, false, nil
		case len(in.data) == 0:
			return nil, false, io.EOF
		}
		return nil, false, errCut
	}
	if err := checkPrefix(in.data, most, encoding); err != nil {
		return nil, false, err
	}
	size := prefixSize + int(binary.BigEndian.Uint32(in.data[1:]))
	if len(in.data) < size {
		if in.ended {
			return nil, false, errCut
		}
		return nil, false, nil
	}
	message = in.data[prefixSize:size:size]
	if in.data = in.data[size:]; len(in.data) == 0 {
		in.data = nil // the message has the memory now
	}
	taken := min(size, in.kept)
	in.kept -= taken
	in.owed += taken
	in.hungry = false
	return message, true, nil
}

var errCut = status.Error(codes.Internal, "grpc: the client ended the stream in the midst of a message")

// checkPrefix refuses a message that is compressed, or too large, with the texts of grpc-go.
func checkPrefix(prefix []byte, most int, encoding string) error {
	switch size := int64(binary.BigEndian.Uint32(prefix[1:])); {
	case prefix[0] > 1:
		return status.Errorf(codes.Internal, "grpc: received unexpected payload format %d", prefix[0])
	case prefix[0] == 1 && (encoding == "" || encoding == identity):
		return status.Error(codes.Internal, "grpc: compressed flag set with identity or empty encoding")
	case prefix[0] == 1:
		return errEncoding(encoding)
	case size > int64(most):
		return status.Errorf(codes.ResourceExhausted, "grpc: received message larger than max (%d vs. %d)", size, most)
	}
	return nil
}

// identity is the only encoding of messages.
const identity = "identity"

func errEncoding(encoding string) error {
	return status.Error(codes.Unimplemented, fmt.Sprintf("grpc: Decompressor is not installed for grpc-encoding %q", encoding))
}

// over tells whether the client sends no more.
func (in *inbox) over() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.ended
}

// whole tells whether a message has come, or will not come.
func (in *inbox) whole() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ended || in.err != nil {
		return true
	}
	return len(in.data) >= prefixSize && (in.data[0] != 0 || len(in.data)-prefixSize >= int(binary.BigEndian.Uint32(in.data[1:])))
}
