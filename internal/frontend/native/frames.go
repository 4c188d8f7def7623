package native

import "encoding/binary"

// Of HTTP/2 (RFC 9113) what is needed to follow a connection.
const (
	frameData    = 0x0
	frameHeaders = 0x1
	frameReset   = 0x3

	flagEndStream = 0x1 // of DATA and HEADERS
	flagPadded    = 0x8 // of DATA: a length first, and so many bytes at the end, are not data

	frameHeaderSize = 9
)

// frame is a frame of which a part has come.
type frame struct {
	kind   byte
	flags  byte
	stream uint32
	left   int // bytes of the payload that have not come
	pad    int // at the end of the payload
}

// ends tells whether the frame is the last of its stream from whoever sent it.
func (f frame) ends() bool {
	return (f.kind == frameData || f.kind == frameHeaders) && f.flags&flagEndStream != 0
}

// frames finds the frames in what goes over one direction of a connection, cut in any
// way.
type frames struct {
	skip   int // bytes before the first frame
	header [frameHeaderSize]byte
	have   int // bytes of header
	frame  frame
	padded bool // the length of the padding comes next
}

// scan follows b. It calls yield for each piece of a payload, without padding, and in any
// case when a frame has come to its end: then nothing of it is left.
func (s *frames) scan(b []byte, yield func(f frame, payload []byte)) {
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

func (s *frames) begin() {
	h := s.header[:]
	s.frame = frame{
		kind: h[3], flags: h[4],
		left:   int(h[0])<<16 | int(h[1])<<8 | int(h[2]),
		stream: binary.BigEndian.Uint32(h[5:]) &^ (1 << 31),
	}
	s.padded = s.frame.kind == frameData && s.frame.flags&flagPadded != 0
}

// payload takes what b has of the payload, and returns the rest of b.
func (s *frames) payload(b []byte, yield func(f frame, payload []byte)) (rest []byte) {
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
