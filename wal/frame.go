package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	frameMagic      = 0x6d617266 // "fram"
	frameHeaderSize = 24
	// maxFrame bounds one batch. Raft's own bounds are far below.
	maxFrame = 1 << 30
	// wordSize is the alignment of frames.
	wordSize = 8
	// sectorSize is what a disk writes as a whole or not at all.
	sectorSize = 512
)

// stamp is what marks the bytes of one file as its own. Checksums begin with it,
// so that bytes of another file, or of a client's value, are never taken for a
// frame; and payloads are masked with its salt, so that no word of a written
// frame is zero and a hole in it can be seen (see DESIGN.md).
type stamp struct {
	salt  uint64
	seed  uint32
	magic uint32 // of frames
	// old has the checksum of each sector of a file that is used again, as it was before; nil if
	// the file was zeros. The writer does without.
	old []uint32
}

func newStamp(salt, number uint64) stamp {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], salt)
	binary.LittleEndian.PutUint64(b[8:], number)
	return stamp{salt: salt, seed: crc32.Update(0, castagnoli, b[:]), magic: frameMagic}
}

func (s stamp) crc(b []byte) uint32 { return crc32.Update(s.seed, castagnoli, b) }

// mask writes src, XORed with the salt, to dst. Twice is the identity. Both have
// the same length, a multiple of wordSize; they may be the same.
func (s stamp) mask(dst, src []byte) {
	for len(src) >= wordSize && len(dst) >= wordSize {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src)^s.salt)
		dst, src = dst[wordSize:], src[wordSize:]
	}
}

// finish turns buf, a payload behind frameHeaderSize spare bytes, into a frame:
//
//	0 magic u32 | 4 payload length u32 | 8 batch sequence u64
//	16 CRC of the payload u32 | 20 CRC of the header u32 | payload, padded, masked
func (s stamp) finish(buf []byte, seq uint64) []byte {
	length := len(buf) - frameHeaderSize
	for len(buf)%wordSize != 0 {
		buf = append(buf, 0)
	}
	payload := buf[frameHeaderSize:]
	s.mask(payload, payload)
	binary.LittleEndian.PutUint32(buf, s.magic)
	binary.LittleEndian.PutUint32(buf[4:], uint32(length))
	binary.LittleEndian.PutUint64(buf[8:], seq)
	binary.LittleEndian.PutUint32(buf[16:], s.crc(payload))
	binary.LittleEndian.PutUint32(buf[20:], s.crc(buf[:20]))
	return buf
}

// frame is one batch as found in a segment's image.
type frame struct {
	off, end int // where it stands in the image
	seq      uint64
	length   int
	masked   []byte // aliases the image
}

// payload returns a fresh, unmasked copy of the records in f.
func (s stamp) payload(f frame) []byte {
	b := make([]byte, len(f.masked))
	s.mask(b, f.masked)
	return b[:f.length]
}

// What stands where a frame was expected, if not a frame.
var (
	errEnd  = errors.New("nothing was written from here on")
	errTorn = errors.New("a write that a crash interrupted")
)

// damage is the third possibility: what no crash leaves behind.
type damage string

func (d damage) Error() string { return string(d) }

// read returns the frame at off of a segment's image, or else errEnd, errTorn or a
// damage. DESIGN.md gives the reasons for each verdict.
func (s stamp) read(img []byte, off int) (frame, error) {
	rest := img[off:]
	if s.untouched(img, off) {
		return frame{}, errEnd
	}
	f, ok := s.readHeader(rest)
	if !ok {
		return frame{}, s.judgeHeader(img, off)
	}
	f.off = off
	f.end = off + frameHeaderSize + (f.length+wordSize-1)/wordSize*wordSize
	if f.end <= len(img) {
		f.masked = img[off+frameHeaderSize : f.end]
		if s.crc(f.masked) == binary.LittleEndian.Uint32(rest[16:]) {
			return f, nil
		}
	}
	return frame{}, s.judgePayload(img, off, f.end)
}

// readHeader decodes a frame's header, if b begins with a valid one.
func (s stamp) readHeader(b []byte) (frame, bool) {
	if len(b) < frameHeaderSize ||
		binary.LittleEndian.Uint32(b) != s.magic ||
		binary.LittleEndian.Uint32(b[20:]) != s.crc(b[:20]) {
		return frame{}, false
	}
	f := frame{length: int(binary.LittleEndian.Uint32(b[4:])), seq: binary.LittleEndian.Uint64(b[8:])}
	return f, f.length <= maxFrame
}

// judgeHeader says what it means that there is no valid header at off: torn, if a
// part of it was never written and no frame follows.
func (s stamp) judgeHeader(img []byte, off int) error {
	end := off + frameHeaderSize
	if end <= len(img) && !s.hasHole(img, off, end) {
		return damage("wrong checksum of a frame header")
	}
	for o := off + wordSize; o+frameHeaderSize <= len(img); o += wordSize {
		if f, ok := s.readHeader(img[o:]); ok {
			return damage(fmt.Sprintf("no frame here, but batch %d follows at offset %d", f.seq, o))
		}
	}
	return errTorn
}

// judgePayload says what it means that the frame from off to end has a valid header
// and a wrong checksum: torn, if it is the last one and a part was never written.
func (s stamp) judgePayload(img []byte, off, end int) error {
	switch {
	case end > len(img):
		return errTorn
	case !s.untouched(img, end):
		return damage("wrong checksum of a frame that others follow")
	case !s.hasHole(img, off, end):
		return damage("wrong checksum of a frame that was written in full")
	}
	return errTorn
}

func allZero(b []byte) bool {
	for len(b) >= wordSize {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[wordSize:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
