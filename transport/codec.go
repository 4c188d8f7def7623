package transport

import (
	"encoding/binary"
	"errors"
	"slices"
)

var (
	errTruncated = errors.New("truncated")
	errTrailing  = errors.New("bytes left over")
)

// coder goes over the fields of a payload of this package's own; package raft encodes its
// messages itself. A method that names each field once is the layout for both directions:
// when encoding, coder appends the fields to buf and changes none; when decoding, it takes
// them off the front of buf. After an error it does nothing more. Integers are unsigned
// varints.
type coder struct {
	buf      []byte
	encoding bool
	err      error
}

// end returns the first error of decoding. Decoding must use up all of buf.
func (c *coder) end() error {
	if c.err == nil && len(c.buf) > 0 {
		c.err = errTrailing
	}
	return c.err
}

func number[T ~uint64](c *coder, v *T) {
	if c.encoding {
		c.buf = binary.AppendUvarint(c.buf, uint64(*v))
		return
	}
	if c.err != nil {
		return
	}
	n, size := binary.Uvarint(c.buf)
	if size <= 0 {
		c.err = errTruncated
		return
	}
	*v, c.buf = T(n), c.buf[size:]
}

// fixed is a byte array, as long as v is.
func (c *coder) fixed(v []byte) {
	switch {
	case c.encoding:
		c.buf = append(c.buf, v...)
	case c.err != nil:
	case len(c.buf) < len(v):
		c.err = errTruncated
	default:
		c.buf = c.buf[copy(v, c.buf):]
	}
}

// bytes is a byte string after its length. Decoding copies it.
func (c *coder) bytes(v *[]byte) {
	n := uint64(len(*v))
	number(c, &n)
	switch {
	case c.encoding:
		c.buf = append(c.buf, *v...)
	case c.err != nil:
	case n > uint64(len(c.buf)):
		c.err = errTruncated
	case n > 0:
		*v, c.buf = slices.Clone(c.buf[:n]), c.buf[n:]
	}
}
