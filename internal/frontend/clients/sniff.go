package clients

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"balsa.example/internal/fair"
)

const (
	// sniffWait is how long a client that speaks HTTP/2 has for its first request until it is
	// taken for one of gRPC, whose clients may connect long before they ask anything.
	sniffWait = time.Second
	// sniffBytes bounds what is read to find out what a client speaks: its first headers, and
	// the frames before them.
	sniffBytes = maxHeaderBytes + 8<<10
)

// protocol is what a client speaks.
type protocol uint8

const (
	speaksGRPC  protocol = iota
	speaksHTTP1          // or anything else that is not HTTP/2
	speaksHTTP2          // whose first request is none of gRPC
)

// sniff finds out what a client speaks from what it sends first, and returns a connection on which
// that is read again.
//
// A client of HTTP/2 sends its preface, and then some wait for the SETTINGS of the server before
// they send a request. The server must not wait, too. So sniff sends SETTINGS with the least that
// gRPC says, too. Whoever serves the connection sends its own: there may be any number of them. But
// the client acknowledges each, and net/http takes one acknowledgement too many for an error; so
// the connection leaves out the first one if the client speaks HTTP/2 without gRPC.
//
// The caller has set a deadline, which is as good for the preface.
func sniff(conn net.Conn, streams int) (net.Conn, protocol, error) {
	seen := new(bytes.Buffer)
	is2, err := readPreface(io.TeeReader(conn, seen))
	if err != nil {
		return nil, 0, err
	}
	if !is2 {
		return &replayConn{Conn: conn, first: seen}, speaksHTTP1, nil
	}
	settings := http2.NewFramer(conn, nil)
	if err := settings.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(streams)},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderBytes},
	); err != nil {
		return nil, 0, err
	}
	conn.SetReadDeadline(time.Now().Add(sniffWait))
	speaks, err := readRequest(io.TeeReader(conn, seen))
	conn.SetReadDeadline(time.Now().Add(connectTimeout))
	if err != nil {
		return nil, 0, err
	}
	if speaks == speaksHTTP2 {
		return &replayConn{Conn: &ackFilter{Conn: conn, from: io.MultiReader(seen, conn), skip: len(http2.ClientPreface)}, first: new(bytes.Buffer)}, speaks, nil
	}
	return &replayConn{Conn: conn, first: seen}, speaks, nil
}

// readPreface reads until it is clear whether the connection begins as one of HTTP/2.
func readPreface(r io.Reader) (is2 bool, err error) {
	var b [len(http2.ClientPreface)]byte
	for n := 0; n < len(b); {
		m, err := r.Read(b[n:])
		n += m
		if !strings.HasPrefix(http2.ClientPreface, string(b[:n])) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// readRequest reads the first request of a connection of HTTP/2. What it cannot judge is left to
// gRPC, which has bounds of its own.
func readRequest(r io.Reader) (protocol, error) {
	limited := &io.LimitedReader{R: r, N: sniffBytes}
	f := http2.NewFramer(nil, limited)
	f.SetMaxReadFrameSize(sniffBytes)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.MaxHeaderListSize = maxHeaderBytes
	for {
		frame, err := f.ReadFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), err != nil && limited.N <= 0:
			return speaksGRPC, nil
		case errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || isNetworkError(err):
			return 0, err
		case err != nil:
			return speaksGRPC, nil
		}
		if h, ok := frame.(*http2.MetaHeadersFrame); ok {
			for _, field := range h.RegularFields() {
				if field.Name == "content-type" && strings.HasPrefix(field.Value, "application/grpc") {
					return speaksGRPC, nil
				}
			}
			return speaksHTTP2, nil
		}
	}
}

func isNetworkError(err error) bool {
	var e *net.OpError
	return errors.As(err, &e)
}

// frameHeader is the size in bytes of the header of a frame of HTTP/2.
const frameHeader = 9

// replayConn is a connection of which some bytes have been read already.
type replayConn struct {
	net.Conn
	first *bytes.Buffer // nil when all of it was read again
}

// Read implements net.Conn.
func (c *replayConn) Read(b []byte) (int, error) {
	if c.first == nil {
		return c.Conn.Read(b)
	}
	n, _ := c.first.Read(b)
	if c.first.Len() == 0 {
		c.first = nil
	}
	if n > 0 {
		return n, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite closes one direction of the connection, if it can be closed alone.
func (c *replayConn) CloseWrite() error { return fair.CloseWrite(c.Conn) }

// ackFilter leaves out the first acknowledgement of SETTINGS that a client sends.
type ackFilter struct {
	net.Conn
	from   io.Reader
	skip   int // bytes before the next frame
	header [frameHeader]byte
	held   []byte // of header: to be read
	found  bool
}

// Read implements net.Conn.
func (c *ackFilter) Read(b []byte) (int, error) {
	for {
		switch {
		case len(c.held) > 0:
			n := copy(b, c.held)
			c.held = c.held[n:]
			return n, nil
		case c.found:
			return c.from.Read(b)
		case c.skip > 0:
			n, err := c.from.Read(b[:min(len(b), c.skip)])
			c.skip -= n
			return n, err
		}
		if _, err := io.ReadFull(c.from, c.header[:]); err != nil {
			return 0, err
		}
		c.skip = int(c.header[0])<<16 | int(c.header[1])<<8 | int(c.header[2])
		if c.header[3] == byte(http2.FrameSettings) && http2.Flags(c.header[4]).Has(http2.FlagSettingsAck) {
			c.found = true
			continue
		}
		c.held = c.header[:]
	}
}
