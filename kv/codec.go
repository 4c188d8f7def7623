package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// The byte form of an operation, as it stands in the Raft log:
//
//	format(1 byte) kind(1 byte) version(uvarint) unchanged since(uvarint)
//	key length(uvarint) key value
//
// The high bit of kind is Unconditional, the two below it are Attempt. The value has no
// length: it is the rest.
const (
	opFormat          = 1
	unconditionalFlag = 0x80
	attemptShift      = 5
	kindMask          = 1<<attemptShift - 1
)

var errTruncatedOp = errors.New("kv: truncated operation")

// Codec is the byte form of an Op. Decode undoes Append for every Op, with three
// exceptions: an empty Value becomes nil, an unknown Kind becomes 0, and an unknown Attempt
// becomes AnyAttempt.
type Codec struct{}

// Append appends the encoding of op to dst.
func (Codec) Append(dst []byte, op Op) []byte {
	// An unknown kind is written as 0, which DoOp refuses. Written as it is, it would stop
	// every replica at Decode, because of one caller's mistake.
	var kind byte
	if op.Kind.valid() {
		kind = byte(op.Kind)
	}
	if op.Unconditional {
		kind |= unconditionalFlag
	}
	if op.Attempt.valid() {
		kind |= byte(op.Attempt) << attemptShift
	}
	dst = slices.Grow(dst, 2+3*binary.MaxVarintLen32+len(op.Key)+len(op.Value)) // enough unless numbers are huge
	dst = append(dst, opFormat, kind)
	dst = binary.AppendUvarint(dst, op.Version)
	dst = binary.AppendUvarint(dst, op.UnchangedSince)
	dst = binary.AppendUvarint(dst, uint64(len(op.Key)))
	dst = append(dst, op.Key...)
	return append(dst, op.Value...)
}

// Decode reads one operation, which is all of data.
//
// Key and Value share the memory of data, which may be a whole network frame or log
// segment. So DoOp copies what it keeps; a Get or a refused Put copies nothing. The caller must
// not write to data while the Op is in use.
func (Codec) Decode(data []byte) (Op, error) {
	if len(data) < 2 {
		return Op{}, errTruncatedOp
	}
	if data[0] != opFormat {
		return Op{}, fmt.Errorf("kv: operation has format %d, this program reads %d", data[0], opFormat)
	}
	op := Op{
		Kind:          OpKind(data[1] & kindMask),
		Unconditional: data[1]&unconditionalFlag != 0,
		Attempt:       Attempt(data[1] &^ unconditionalFlag >> attemptShift),
	}
	if op.Kind != 0 && !op.Kind.valid() || !op.Attempt.valid() {
		return Op{}, fmt.Errorf("kv: operation is of unknown kind %d, attempt %d", uint8(op.Kind), uint8(op.Attempt))
	}
	rest := data[2:]
	var keyBytes uint64
	for _, v := range []*uint64{&op.Version, &op.UnchangedSince, &keyBytes} {
		var n int
		if *v, n = binary.Uvarint(rest); n <= 0 {
			return Op{}, errTruncatedOp
		}
		rest = rest[n:]
	}
	if keyBytes > uint64(len(rest)) {
		return Op{}, errTruncatedOp
	}
	op.Key = Alias(rest[:keyBytes])
	if value := rest[keyBytes:]; len(value) > 0 {
		op.Value = value[:len(value):len(value)]
	}
	return op, nil
}

// Alias returns b as a string that shares its memory, for a key that is not kept. The
// caller must not write to b while the string is in use.
func Alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
