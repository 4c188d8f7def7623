package transport

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"balsa.example/raft"
)

// A frame is
//
//	length  uint32, little endian, of the payload
//	kind    uint8
//	crc     uint32, little endian: CRC-32C of length, kind and payload
//	payload
//
// The kind of a raft message is its raft.MessageKind; those below are of this package. A
// layout that changes gets a new kind, or the protocol a new major version (handshake.go).
const (
	frameHello   = 0x80
	frameWelcome = 0x81
	frameConfirm = 0x82

	frameKeepalive = 0x83 // from either side, between other frames: see connection

	frameChunk          = 0x90 // a piece of the data
	frameEnd            = 0x91 // length of the stream, checksum of the chunks
	frameSnapshotResult = 0x93 // from the receiver: done, or why not
	frameSnapshotKept   = 0x94 // from the receiver: up to which offset it has the stream
	frameSnapshotBegin  = 0x95 // the offset at which the chunks begin

	frameFetch  = 0xa0 // from the node that fetches: name of the file, offset
	frameOpened = 0xa1 // from the node that has the file: chunks follow
	frameFailed = 0xa2 // from the same: why no more follows

	frameCall  = 0xb0 // from the node that calls: the request
	frameReply = 0xb1 // from the node that is called: the answer

	frameHeaderSize = 4 + 1 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginFrame makes room for a header; finishFrame fills it in when the payload has
// been appended. start is where the frame begins in dst.
func beginFrame(dst []byte) (frame []byte, start int) {
	return append(dst, make([]byte, frameHeaderSize)...), len(dst)
}

func finishFrame(frame []byte, start int, kind byte) {
	header, payload := frame[start:start+frameHeaderSize], frame[start+frameHeaderSize:]
	binary.LittleEndian.PutUint32(header, uint32(len(payload)))
	header[4] = kind
	binary.LittleEndian.PutUint32(header[5:], frameChecksum(header, payload))
}

func frameChecksum(header, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(header[:5], castagnoli), castagnoli, payload)
}

// appendFrame appends a frame that holds payload.
func appendFrame(dst []byte, kind byte, payload []byte) []byte {
	dst, start := beginFrame(dst)
	dst = append(dst, payload...)
	finishFrame(dst, start, kind)
	return dst
}

// appendMessageFrame appends a frame that holds m.
func appendMessageFrame(dst []byte, m raft.Message) []byte {
	dst, start := beginFrame(dst)
	dst = raft.AppendMessage(dst, m)
	finishFrame(dst, start, byte(m.Kind()))
	return dst
}

const (
	readBuffer = 64 << 10
	// readAhead bounds the space made for a payload before any of it has arrived.
	readAhead = 4 << 20
)

// frameReader reads frames off a connection.
type frameReader struct {
	r *bufio.Reader
	// maxPayload is the longest payload accepted, in bytes.
	maxPayload int
	// header is of the frame being read.
	header [frameHeaderSize]byte
	// minor is the version in the preamble of the other side.
	minor byte
	// scratch holds payloads that do not fit into r.
	scratch []byte
}

func newFrameReader(conn io.Reader, maxPayload int) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(conn, readBuffer), maxPayload: maxPayload}
}

// read returns the next frame. io.EOF says that the connection was closed between
// two frames. The payload is valid until the next read, except that a message
// which may alias its payload has one for itself.
func (f *frameReader) read() (kind byte, payload []byte, err error) {
	b, err := f.r.Peek(frameHeaderSize)
	if err != nil {
		if len(b) > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	f.header = [frameHeaderSize]byte(b)
	size := binary.LittleEndian.Uint32(f.header[:])
	if uint64(size) > uint64(f.maxPayload) {
		return 0, nil, fmt.Errorf("%w: payload of %d bytes, at most %d are allowed", ErrCorrupt, size, f.maxPayload)
	}
	f.r.Discard(frameHeaderSize)
	kind = f.header[4]
	if payload, err = f.payload(int(size), raft.MessageKind(kind).DecodeAliases()); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	if frameChecksum(f.header[:], payload) != binary.LittleEndian.Uint32(f.header[5:]) {
		return 0, nil, fmt.Errorf("%w: checksum of a frame of kind %d, %d bytes", ErrCorrupt, kind, size)
	}
	return kind, payload, nil
}

// payload returns the next n bytes, in a buffer of their own if own is set.
func (f *frameReader) payload(n int, own bool) ([]byte, error) {
	if n <= f.r.Buffered() && !own {
		b, err := f.r.Peek(n)
		f.r.Discard(n) // leaves b as it is until the next read
		return b, err
	}
	var b []byte
	if !own {
		b = f.scratch[:0]
	}
	for len(b) < n {
		// Space grows with what has arrived, not with what the header claims.
		step := min(n-len(b), max(len(b), readAhead))
		b = slices.Grow(b, step)
		if _, err := io.ReadFull(f.r, b[len(b):len(b)+step]); err != nil {
			return nil, err
		}
		b = b[:len(b)+step]
	}
	if !own {
		f.scratch = b
	}
	return b, nil
}
