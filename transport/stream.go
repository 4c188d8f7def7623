package transport

import (
	"fmt"
	"hash/crc32"
	"io"
)

// A stream is how the data of a snapshot or of a file travels:
//
//	chunk, chunk, ... , end (length, CRC-32C)
//
// Without its end it is cut short: the reader gets io.ErrUnexpectedEOF.

// chunkBytes is how much data goes into one frame, in bytes.
const chunkBytes = 256 << 10

// streamFrameMax bounds the payload of every frame of a stream, in bytes.
const streamFrameMax = 1 << 20

// streamEnd is the payload of the end frame: the length of the stream so far, from its
// beginning, and the checksum of the chunks of this connection.
type streamEnd struct {
	length uint64
	crc    uint64
}

func (c *coder) streamEnd(v *streamEnd) {
	number(c, &v.length)
	number(c, &v.crc)
}

// add takes another chunk into account.
func (v *streamEnd) add(chunk []byte) {
	v.length += uint64(len(chunk))
	v.crc = uint64(crc32.Update(uint32(v.crc), castagnoli, chunk))
}

func (v streamEnd) String() string {
	return fmt.Sprintf("%d bytes with checksum %08x", v.length, v.crc)
}

// writeChunks sends data, which begins at the offset, and the end.
func (p *peer) writeChunks(c *connection, offset uint64, data io.Reader) error {
	sent := streamEnd{length: offset}
	buf := make([]byte, frameHeaderSize+chunkBytes)
	for {
		n, err := fill(data, buf[frameHeaderSize:])
		if n > 0 {
			frame := buf[:frameHeaderSize+n]
			sent.add(frame[frameHeaderSize:])
			finishFrame(frame, 0, frameChunk)
			if err := p.writeStream(c, frame); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return p.writeStream(c, appendLayout(nil, frameEnd, func(c *coder) { c.streamEnd(&sent) }))
		}
		if err != nil {
			return fmt.Errorf("read data to send: %w", err)
		}
	}
}

// fill reads until b is full or r fails. Only io.EOF is the end of the data: io.ReadFull could
// not tell it from an io.ErrUnexpectedEOF of r itself, which says that data is missing.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = r.Read(b[n:])
		n += k
	}
	return n, err
}

func (p *peer) writeStream(c *connection, b []byte) error {
	if err := c.write(b); err != nil {
		return fmt.Errorf("write stream: %w", err)
	}
	p.bytesOut.Add(uint64(len(b)))
	return nil
}

// streamReader is the data of a stream that arrives. It ends with io.EOF only after all of it,
// checked.
type streamReader struct {
	conn  *connection
	chunk []byte    // not yet read
	got   streamEnd // the stream up to and with chunk
	err   error
}

func (s *streamReader) Read(b []byte) (int, error) {
	for len(s.chunk) == 0 && s.err == nil {
		s.chunk, s.err = s.next()
	}
	if len(s.chunk) == 0 && len(b) > 0 {
		return 0, s.err
	}
	n := copy(b, s.chunk)
	s.chunk = s.chunk[n:]
	return n, nil
}

// next returns the next chunk, which is valid until the next call.
func (s *streamReader) next() ([]byte, error) {
	kind, payload, err := s.conn.read()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("stream cut short after %d bytes: %w", s.got.length, err)
	}
	s.conn.peer.bytesIn.Add(uint64(frameHeaderSize + len(payload)))
	switch kind {
	case frameChunk:
		s.got.add(payload)
		return payload, nil
	case frameEnd:
		var want streamEnd
		c := coder{buf: payload}
		c.streamEnd(&want)
		if err := c.end(); err != nil {
			return nil, fmt.Errorf("%w: end of stream: %w", ErrCorrupt, err)
		}
		if s.got != want {
			return nil, fmt.Errorf("%w: stream is %s, sent were %s", ErrCorrupt, s.got, want)
		}
		return nil, io.EOF
	case frameFailed: // of a fetch
		return nil, decodeFailed(payload, s.conn.peer.id)
	default:
		return nil, fmt.Errorf("%w: frame of kind %d in a stream", ErrCorrupt, kind)
	}
}
