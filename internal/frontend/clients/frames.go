package clients

import "encoding/binary"

// The parts of HTTP/2 (RFC 9113) that are needed to follow a connection.
const (
	frameData    = 0x0
	frameHeaders = 0x1
	frameReset   = 0x3

	flagEndStream = 0x1 // of DATA and HEADERS
	flagPadded    = 0x8 // of DATA: the payload begins with a length, and ends with so many bytes of padding

	frameHeaderSize = 9
)

// frame is the frame of which a part has come.
type frame struct {
	kind   byte
	flags  byte
	stream uint32
	left   int // bytes of the payload that have not come
	pad    int // bytes of padding at the end of the payload
}

// ends tells whether the frame is the last that its sender sends on the stream.
func (f frame) ends() bool {
	return (f.kind == frameData || f.kind == frameHeaders) && f.flags&flagEndStream != 0
}

// frameScanner finds the frames in the bytes of one direction of a connection, which may be
// cut into pieces at any place.
type frameScanner struct {
	skip   int // bytes before the first frame
	header [frameHeaderSize]byte
	have   int // bytes of header
	frame  frame
	padded bool // the length of the padding comes next
}

// scan takes the next bytes. It calls yield for each piece of a payload, without padding,
// and at the end of each frame, where left is 0.
func (s *frameScanner) scan(b []byte, yield func(f frame, payload []byte)) {
	n := min(s.skip, len(b))
	s.skip -= n
	b = b[n:]
	for len(b) > 0 {
		if s.have < frameHeaderSize {
			n := copy(s.header[s.have:], b)
			s.have += n
			b = b[n:]
			if s.have < frameHeaderSize {
				return
			}
			s.begin()
			if s.frame.left > 0 {
				continue
			}
		}
		b = s.payload(b, yield)
		if s.frame.left == 0 {
			s.have = 0
		}
	}
}

func (s *frameScanner) begin() {
	h := s.header[:]
	s.frame = frame{
		kind: h[3], flags: h[4],
		left:   int(h[0])<<16 | int(h[1])<<8 | int(h[2]),
		stream: binary.BigEndian.Uint32(h[5:]) &^ (1 << 31),
	}
	s.padded = s.frame.kind == frameData && s.frame.flags&flagPadded != 0
}

// payload takes what b has of the payload, and returns the rest of b.
func (s *frameScanner) payload(b []byte, yield func(f frame, payload []byte)) (rest []byte) {
	f := &s.frame
	if s.padded && f.left > 0 {
		f.pad, s.padded = int(b[0]), false
		f.left--
		b = b[1:]
	}
	n := min(f.left, len(b))
	data := min(n, max(0, f.left-f.pad))
	f.left -= n
	if data > 0 || f.left == 0 {
		yield(*f, b[:data])
	}
	return b[n:]
}
