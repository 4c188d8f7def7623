package etcd

import (
	"sync"

	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd/translate"
)

// Encoded is a message whose wire form is known, in parts which other messages may share.
type Encoded interface {
	proto.Message
	// Size is that of the wire form in bytes.
	Size() int
	// Wire returns the wire form: own, which is valid until Stream.Send returns, and behind it
	// shared, whose bytes never change.
	Wire() (own []byte, shared [][]byte)
}

// Whole is a message whose wire form is known, in one piece that never changes.
type Whole interface {
	proto.Message
	Size() int
	Bytes() []byte
}

// decoded is a message as Go programs want it.
func decoded[T any, P message[T]](m *translate.Message[T, P], err error) (P, error) {
	if err != nil {
		return nil, err
	}
	return m.Response(), nil
}

// Lent is Encoded in memory that is used again: a transport calls Free when it has sent the message, and
// does not look at it any more. It need not do so.
type Lent interface {
	Encoded
	Free()
}

var (
	_ Encoded = (*translate.WatchMessage)(nil)
	_ Lent    = (*encodedRange)(nil)
	_ Whole   = (*translate.TxnMessage)(nil)
)

// encodedRange is the response to a range.
type encodedRange struct {
	translate.RangeMessage
	lent []byte // nil: its memory is its own
}

// Free implements Lent.
func (m *encodedRange) Free() {
	if m.lent != nil {
		lentRanges.put(m.lent)
		m.lent = nil
	}
}

const (
	// minLent is the size in bytes from which on a range keeps the memory that it was encoded in. A
	// smaller one is copied, so that the memory is used again at once.
	minLent = 8 << 10
	// maxLent bounds the memory that is kept to be used again.
	maxLent = 16 << 20
)

// lentRanges keeps memory to encode ranges in.
var lentRanges rangePool

type rangePool struct{ pool sync.Pool }

func (p *rangePool) get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

func (p *rangePool) put(b []byte) {
	if cap(b) <= maxLent {
		p.pool.Put(&b)
	}
}

// settle decides whose the memory is in which a range was encoded: lent to it, or its own copy where it
// takes up only a little of it.
func settle(encoded []byte) (own, lent []byte) {
	if len(encoded) >= minLent && len(encoded) >= cap(encoded)/2 {
		return encoded, encoded
	}
	own = append(make([]byte, 0, len(encoded)+rangeEnd), encoded...)
	lentRanges.put(encoded)
	return own, nil
}

// rangeEnd is at least what stands behind the entries of a range, in bytes.
const rangeEnd = 16
