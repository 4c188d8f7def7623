package grpcserver

import (
	"encoding/binary"
	"io"

	"golang.org/x/net/http2"
)

const (
	frameHeader = 9
	// maxFrame is the largest payload of a frame, in both directions. All implementations take that
	// much (RFC 9113, 4.2).
	maxFrame = 16 << 10
	// The buffer of a connection begins small, since most are idle, and grows while reads fill it. It shrinks
	// after some reads in turn that would have fitted into a quarter.
	minReadBuffer = 2 << 10
	maxReadBuffer = 64 << 10
	smallReads    = 4
)

// frame is one frame. The payload is valid until the next is read.
type frame struct {
	kind    http2.FrameType
	flags   http2.Flags
	stream  uint32
	payload []byte
}

// frameReader reads frames.
type frameReader struct {
	from       io.Reader
	buf        []byte
	begin, end int    // what of buf was read, and not taken
	reads      int    // how often something was read
	small      int    // of these, the last ones that were small
	waits      func() // called before it reads; may be nil
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{from: r, buf: make([]byte, minReadBuffer)}
}

// next returns the next frame. One that is too large is an error of the connection.
func (r *frameReader) next() (frame, error) {
	h, err := r.peek(frameHeader)
	if err != nil {
		return frame{}, err
	}
	size := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
	f := frame{kind: http2.FrameType(h[3]), flags: http2.Flags(h[4]), stream: binary.BigEndian.Uint32(h[5:]) &^ (1 << 31)}
	if size > maxFrame {
		return f, goAway{http2.ErrCodeFrameSize, "a frame is larger than allowed"}
	}
	whole, err := r.peek(frameHeader + size)
	if err != nil {
		return frame{}, err
	}
	f.payload = whole[frameHeader:]
	r.begin += frameHeader + size
	return f, nil
}

// discard takes n bytes that peek has returned.
func (r *frameReader) discard(n int) { r.begin += n }

// peek returns the next n bytes, which it reads if need be.
func (r *frameReader) peek(n int) ([]byte, error) {
	for r.end-r.begin < n {
		r.makeRoom(n)
		if r.waits != nil {
			r.waits()
		}
		m, err := r.from.Read(r.buf[r.end:])
		r.end += m
		r.reads++
		if r.small++; r.end-r.begin > len(r.buf)/4 {
			r.small = 0
		}
		if err != nil && r.end-r.begin < n {
			return nil, err
		}
	}
	return r.buf[r.begin : r.begin+n], nil
}

// makeRoom moves what there is to the front, and takes a larger buffer if n bytes do not fit in, or if the
// last read has filled this one; a smaller one if that would do.
func (r *frameReader) makeRoom(n int) {
	into, full := r.buf, r.end == len(r.buf)
	size := max(n, min(2*len(r.buf), maxReadBuffer))
	switch {
	case n > len(r.buf) || full && size > len(r.buf):
		into = make([]byte, size)
	case r.small >= smallReads && len(r.buf) > minReadBuffer && max(n, r.end-r.begin) <= len(r.buf)/4:
		into = make([]byte, max(minReadBuffer, len(r.buf)/2))
		r.small = 0
	}
	if r.begin > 0 || len(into) != len(r.buf) {
		r.end = copy(into, r.buf[r.begin:r.end])
		r.buf, r.begin = into, 0
	}
}

// appendFrame appends the header of a frame.
func appendFrame(b []byte, kind http2.FrameType, flags http2.Flags, stream uint32, size int) []byte {
	b = append(b, byte(size>>16), byte(size>>8), byte(size), byte(kind), byte(flags))
	return binary.BigEndian.AppendUint32(b, stream)
}

func appendWindowUpdate(b []byte, stream uint32, n int) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, http2.FrameWindowUpdate, 0, stream, 4), uint32(n))
}

func appendReset(b []byte, stream uint32, code http2.ErrCode) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, http2.FrameRSTStream, 0, stream, 4), uint32(code))
}

func appendGoAway(b []byte, last uint32, g goAway) []byte {
	b = appendFrame(b, http2.FrameGoAway, 0, 0, 8+len(g.text))
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, uint32(g.code))
	return append(b, g.text...)
}

func appendPing(b []byte, flags http2.Flags, data []byte) []byte {
	return append(appendFrame(b, http2.FramePing, flags, 0, len(data)), data...)
}

// goAway is an error of the connection, which ends with a GOAWAY frame. It is never wrapped, and neither is
// reset: both are told apart for each frame.
type goAway struct {
	code http2.ErrCode
	text string
}

// Error implements error.
func (g goAway) Error() string { return g.code.String() + ": " + g.text }

// reset is an error of one stream, which ends with a RST_STREAM frame.
type reset struct {
	code http2.ErrCode
	text string
}

// Error implements error.
func (r reset) Error() string { return r.code.String() + ": " + r.text }
