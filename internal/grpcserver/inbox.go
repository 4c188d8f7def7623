package grpcserver

import (
	"encoding/binary"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/internal/wake"
)

// prefixSize is the length in bytes of what gRPC puts before a message: a flag, and its size.
const prefixSize = 5

// inbox has what a client has sent on a stream, and a handler has not taken. With what the client may
// still send it is at most a window, or the message that somebody waits for and endRoom if that is larger.
type inbox struct {
	mu     sync.Mutex
	data   []byte      // the next message, and others behind it if they are small
	taken  int         // bytes of the memory of data that were taken
	behind [][]byte    // what follows data, in other memory
	later  int         // bytes of behind
	ended  bool        // the client sends no more
	err    error       // the stream is over
	came   wake.Signal // for the handler of a stream that waits; of a unary call it is zero, and wakes nobody
	window int         // bytes that the client may still send
	hungry bool        // somebody waits for the next message
	most   int         // bytes that a message may have
	turn   turn        // of the message that is waited for
}

// put adds what has come: payload, and padding bytes of padding. It returns what is due to the client,
// and false if it has sent more than it may. The reader calls it.
func (in *inbox) put(payload []byte, padding int, ended bool, cfg *Config) (d due, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.window -= len(payload) + padding; in.window < 0 {
		return d, false
	}
	in.ended = in.ended || ended
	if in.err != nil {
		return d, true // nobody takes it
	}
	in.add(payload)
	in.came.Set()
	return in.due(cfg), true
}

// ownMemory is the size from which on a message, with its prefix, has memory of its own.
const ownMemory = 4 << 10

// add adds what has come. What follows a message that is not small goes into other memory: so the message is not
// copied when that grows, and who decodes it may keep it. That memory has the size of the message, if half of it has come.
func (in *inbox) add(payload []byte) {
	if len(payload) == 0 {
		return
	}
	last := &in.data
	if n := len(in.behind); n > 0 {
		last = &in.behind[n-1]
	}
	if len(*last) >= ownMemory && len(*last) == prefixSize+messageSize(*last) {
		in.behind = append(in.behind, nil)
		last = &in.behind[len(in.behind)-1]
	}
	if len(*last) == 0 && len(payload) >= ownMemory {
		*last = make([]byte, 0, min(max(len(payload), prefixSize+messageSize(payload)), 2*len(payload)))
	}
	*last = append(*last, payload...)
	if last != &in.data {
		in.later += len(payload)
	}
}

// size is how much has come that was not taken, in bytes.
func (in *inbox) size() int { return len(in.data) + in.later }

// due is what follows from what has come, or was taken.
type due struct {
	credit int  // bytes that the client may send more
	large  int  // bytes of a large message that waits for its turn from now on
	over   bool // a turn is over
}

// due returns that, once. Caller holds mu.
func (in *inbox) due(cfg *Config) (d due) {
	if in.turn == past {
		in.turn, d.over = noTurn, true
	}
	need := in.need()
	if need > cfg.StreamWindow && in.turn != present {
		if in.turn == noTurn {
			in.turn, d.large = future, need
		}
		need = 0
	}
	d.credit = in.credit(need, cfg)
	return d
}

// need is how much may come until the message is here that somebody waits for, in bytes, as far as that is known.
// Caller holds mu.
func (in *inbox) need() int {
	if in.hungry && !in.ended && in.err == nil && len(in.data) >= prefixSize {
		if size := messageSize(in.data); size <= in.most {
			return prefixSize + size + endRoom
		}
	}
	return 0
}

// credit is what to tell the client that it may send more: nothing, or half a window at least, or what is missing of
// what is needed. Caller holds mu.
func (in *inbox) credit(need int, cfg *Config) int {
	if in.ended || in.err != nil {
		return 0
	}
	has := in.size() + in.window
	n := max(cfg.StreamWindow, need) - has
	if n < cfg.StreamWindow/2 && has >= need {
		return 0
	}
	in.window += n
	return n
}

// endRoom is what a client may send behind a message that is awaited, in bytes. grpc-go's sends the end of a
// stream, which is an empty frame, only where there is some window left.
const endRoom = 1 << 10

// messageSize is that of the message that follows a prefix, as the client says.
func messageSize(prefix []byte) int { return int(binary.BigEndian.Uint32(prefix[1:])) }

// close ends the inbox: who waits gets err, and what has come is forgotten.
func (in *inbox) close(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil {
		in.err = err
	}
	in.data, in.taken, in.behind, in.later = nil, 0, nil, 0
	in.came.Set()
}

// message is one that has come.
type message struct {
	data       []byte
	compressed bool
	own        bool // most of the memory is its own
}

// take removes the next message. ok is false if it has not come, and may come: the caller waits for it. At
// the end it returns io.EOF. Caller holds mu.
func (in *inbox) take(cfg *Config, encoding string) (m message, ok bool, err error) {
	if in.err != nil {
		return message{}, false, in.err
	}
	size := prefixSize
	if len(in.data) >= prefixSize {
		if err := checkPrefix(in.data, in.most, encoding); err != nil {
			return message{}, false, err
		}
		size += messageSize(in.data)
	}
	if len(in.data) < size {
		switch {
		case !in.ended:
			in.hungry = true
			return message{}, false, nil
		case len(in.data) == 0:
			return message{}, false, io.EOF
		}
		return message{}, false, errCut
	}
	m = message{in.data[prefixSize:size:size], in.data[0] == 1, in.taken+cap(in.data) < 2*size}
	in.data, in.taken = in.data[size:], in.taken+size
	switch {
	case len(in.data) == 0:
		in.data, in.taken = nil, 0 // the message has the memory now
		in.advance()
	case size > cfg.StreamWindow:
		in.data, in.taken = slices.Clone(in.data), 0 // which is little, and would keep that of the message
	}
	in.hungry = false
	if in.turn != noTurn {
		in.turn = past
	}
	return m, true, nil
}

// advance makes what is behind data the next.
func (in *inbox) advance() {
	if len(in.behind) > 0 {
		in.data, in.behind[0] = in.behind[0], nil
		in.later -= len(in.data)
		in.behind = in.behind[1:]
	}
}

// end tells whether the client has ended the stream behind the one message that there has to be, which was taken.
// Another message is refused when it begins, so that nobody has to keep two. Caller holds mu.
func (in *inbox) end(_ *Config, encoding string) (none message, ok bool, err error) {
	switch {
	case in.err != nil:
		err = in.err
	case len(in.data) >= prefixSize:
		if err = checkPrefix(in.data, in.most, encoding); err == nil {
			err = errMoreMessages
		}
	case in.ended && len(in.data) > 0:
		err = errCut
	}
	return message{}, in.ended && err == nil, err
}

var errCut = status.Error(codes.Internal, io.ErrUnexpectedEOF.Error())

// checkPrefix refuses a message that cannot be decompressed, or is too large, with the texts of grpc-go.
func checkPrefix(prefix []byte, most int, encoding string) error {
	switch size := int64(binary.BigEndian.Uint32(prefix[1:])); {
	case size > int64(most):
		return status.Errorf(codes.ResourceExhausted, "grpc: received message larger than max (%d vs. %d)", size, most)
	case prefix[0] > 1:
		return status.Errorf(codes.Internal, "grpc: received unexpected payload format %d", prefix[0])
	case prefix[0] == 1 && (encoding == "" || encoding == identity):
		return status.Error(codes.Internal, "grpc: compressed flag set with identity or empty encoding")
	case prefix[0] == 1 && encoding != gzipped:
		return errEncoding(encoding)
	}
	return nil
}

// over tells whether the client sends no more.
func (in *inbox) over() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.ended
}

// answerable tells whether the request of a unary call has come: its one message, and the end behind it. One
// that must not come, or is one too many, is answered at once.
func (in *inbox) answerable(encoding string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ended || in.err != nil {
		return true
	}
	if len(in.data) < prefixSize {
		return false
	}
	return checkPrefix(in.data, in.most, encoding) != nil || in.size() >= 2*prefixSize+messageSize(in.data)
}
