package transport

import "fmt"

// A snapshot has a connection of its own, on which these frames follow the
// handshake:
//
//	sender                              receiver
//	InstallSnapshot ───────────────────►
//	                                   ◄─ kept (offset)   only if the message
//	begin (offset) ────────────────────►                  names its Stream
//	chunk, chunk, ... ─────────────────►
//	end (length, CRC-32C) ─────────────►
//	                                   ◄─ result (empty: stored; or why not)
//
// A stream that broke off can be resumed. Its Stream names its bytes. The receiver tells up to
// which offset it has them, and the sender where the chunks begin: there, or at 0. The end
// tells the length of the whole stream, and the checksum of the chunks.
//
// The receiver may send its result at any time, and then takes no more. A stream
// without its end is cut short: the reader gets io.ErrUnexpectedEOF. Keepalive frames go both
// ways meanwhile (see connection), so that either side may take its time with its disk.

// appendOffset appends a frame of kind kept or begin.
func appendOffset(dst []byte, kind byte, offset uint64) []byte {
	return appendLayout(dst, kind, func(c *coder) { number(c, &offset) })
}

// decodeOffset decodes the payload of such a frame.
func decodeOffset(payload []byte) (offset uint64, err error) {
	c := coder{buf: payload}
	number(&c, &offset)
	if err := c.end(); err != nil {
		return 0, fmt.Errorf("%w: offset of a snapshot: %w", ErrCorrupt, err)
	}
	return offset, nil
}
