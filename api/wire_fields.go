package api

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// What the messages of this package are made of: fields, read and written one by one.

// field is one field of a message: bytes, or a value if its kind is VarintType.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  uint64
	bytes  []byte
}

func (f field) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

// fields calls yield for each field of a message, those of kinds that no message here
// has included. Fields that yield does not know are skipped, as package proto does.
func fields(data []byte, yield func(field) error) error {
	for len(data) > 0 {
		f, n := consume(data)
		if n < 0 {
			return malformed(n)
		}
		data = data[n:]
		if err := yield(f); err != nil {
			return err
		}
	}
	return nil
}

// malformed is what an error of protowire means.
func malformed(n int) error { return fmt.Errorf("api: %w", protowire.ParseError(n)) }

// consume reads the field that data begins with, and returns its length; negative is
// an error of protowire.
func consume(data []byte) (f field, length int) {
	var n int
	if f.number, f.kind, n = protowire.ConsumeTag(data); n < 0 {
		return f, n
	}
	if f.number > protowire.MaxValidNumber {
		return f, -1
	}
	var m int
	switch rest := data[n:]; f.kind {
	case protowire.VarintType:
		f.value, m = protowire.ConsumeVarint(rest)
	case protowire.BytesType:
		f.bytes, m = protowire.ConsumeBytes(rest)
		f.bytes = f.bytes[:len(f.bytes):len(f.bytes)]
	default:
		m = protowire.ConsumeFieldValue(f.number, f.kind, rest)
	}
	if m < 0 {
		return f, m
	}
	return f, n + m
}

// count returns how many messages there are in field number.
func count(data []byte, number protowire.Number) (n int, err error) {
	err = fields(data, func(f field) error {
		if f.is(number, protowire.BytesType) {
			n++
		}
		return nil
	})
	return n, err
}

func merge(data []byte, m proto.Message) error {
	return proto.UnmarshalOptions{Merge: true, DiscardUnknown: true}.Unmarshal(data, m)
}

func appendMessage(dst []byte, number protowire.Number, m proto.Message) ([]byte, error) {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(proto.Size(m)))
	return proto.MarshalOptions{}.MarshalAppend(dst, m)
}

// All fields that are encoded here have numbers below 16, and so tags of one byte. Zeros are
// left out.

func sizeNumber(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func appendNumber(dst []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, byte(number)<<3|byte(protowire.VarintType)), v)
}

func sizeBytes[T []byte | string](v T) int {
	if len(v) == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(len(v))
}

func appendBytes[T []byte | string](dst []byte, number protowire.Number, v T) []byte {
	if len(v) == 0 {
		return dst
	}
	dst = protowire.AppendVarint(append(dst, byte(number)<<3|byte(protowire.BytesType)), uint64(len(v)))
	return append(dst, v...)
}
