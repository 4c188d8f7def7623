package http2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
)

// patience is how long anything may take.
const patience = 30 * time.Second

// maxFrame is the largest payload that either side may send, since no side says otherwise.
const maxFrame = 16 << 10

// fence adds a PING after what a case sends: its answer tells that the server has read all.
func (c *conn) fence() {
	c.fences++
	c.fr.WritePing(false, c.fenced())
}

// fenced is the payload of the last fence.
func (c *conn) fenced() [8]byte { return [8]byte{'f', 'e', 'n', 'c', 'e', 0, 0, c.fences} }

// conn is a connection to a server, of which the frames are written and read one by one.
type conn struct {
	net.Conn
	t  testing.TB
	to target
	// fr writes to out, which flush sends, and reads from the connection.
	fr  *h2.Framer
	out bytes.Buffer
	// block is where enc encodes fields.
	block bytes.Buffer
	enc   *hpack.Encoder

	stream   uint32 // the last one that was begun
	expected bool   // its answer must come
	// status is the :status, answer the last fields, and received the bytes that came for each stream.
	status   map[uint32]string
	answer   map[string]string
	received map[uint32]int
	opened   map[uint32]int // bytes by which the server has opened the window of a stream, or with 0 of the connection
	acks     int            // of SETTINGS
	settings map[h2.SettingID]uint32
	goAways  []goAway
	fences   byte
}

// goAway is a GOAWAY of the server.
type goAway struct {
	code h2.ErrCode
	last uint32
}

// dial connects, and sends nothing.
func dial(t testing.TB, to target) *conn {
	t.Helper()
	raw, err := net.DialTimeout("tcp", to.addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	c := &conn{Conn: raw, t: t, to: to, status: map[uint32]string{}, received: map[uint32]int{}, opened: map[uint32]int{}, settings: map[h2.SettingID]uint32{}}
	c.fr = h2.NewFramer(&c.out, raw)
	c.fr.AllowIllegalWrites = true
	c.fr.SetMaxReadFrameSize(maxFrame)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.block)
	return c
}

// open connects, and has a first call answered: from then on it is certain that the server speaks gRPC with this client.
func open(t testing.TB, to target) *conn {
	t.Helper()
	c := dial(t, to)
	c.out.WriteString(h2.ClientPreface)
	c.fr.WriteSettings()
	c.call(to.unary)
	c.flush()
	if got := c.answered(c.stream); got != "grpc-status 0" {
		t.Fatalf("the first call: %s", got)
	}
	c.expected = false
	return c
}

// raw adds any frame.
func (c *conn) raw(kind h2.FrameType, flags h2.Flags, stream uint32, payload ...byte) {
	c.fr.WriteRawFrame(kind, flags, stream, payload)
}

// encode returns a header block.
func (c *conn) encode(fields []hpack.HeaderField) []byte {
	c.block.Reset()
	for _, f := range fields {
		c.enc.WriteField(f)
	}
	return bytes.Clone(c.block.Bytes())
}

// next returns the id of the next stream.
func (c *conn) next() uint32 {
	if c.stream == 0 {
		return 1
	}
	return c.stream + 2
}

// begin adds the HEADERS of a new stream, in more than one frame where it must be.
func (c *conn) begin(end bool, fields []hpack.HeaderField) {
	c.stream, c.expected = c.next(), end
	block := c.encode(fields)
	n := min(len(block), maxFrame)
	c.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: c.stream, EndStream: end, BlockFragment: block[:n], EndHeaders: n == len(block)})
	for block = block[n:]; len(block) > 0; block = block[n:] {
		n = min(len(block), maxFrame)
		c.fr.WriteContinuation(c.stream, n == len(block), block[:n])
	}
}

// data adds DATA for the last stream, in frames as large as may be.
func (c *conn) data(end bool, b []byte) {
	c.expected = c.expected || end
	for len(b) > maxFrame {
		c.fr.WriteData(c.stream, false, b[:maxFrame])
		b = b[maxFrame:]
	}
	c.fr.WriteData(c.stream, end, b)
}

// call adds a whole unary call.
func (c *conn) call(m method, more ...hpack.HeaderField) {
	c.begin(false, append(m.fields(), more...))
	c.data(true, m.message)
}

// window adds a WINDOW_UPDATE.
func (c *conn) window(stream, bytes uint32) { c.fr.WriteWindowUpdate(stream, bytes) }

// set sends SETTINGS, and waits until the server has taken them.
func (c *conn) set(settings ...h2.Setting) {
	c.t.Helper()
	before := c.acks
	c.fr.WriteSettings(settings...)
	c.flush()
	c.until(func(h2.Frame) bool { return c.acks > before })
}

// flush sends what was added. That the server has closed the connection is for who reads to see.
func (c *conn) flush() {
	c.SetWriteDeadline(time.Now().Add(patience))
	_, _ = c.Write(c.out.Bytes())
	c.out.Reset()
}

// errNothing says that no frame came.
var errNothing = errors.New("nothing")

// read reads a frame, answers it where it must be, and keeps account.
func (c *conn) read() (h2.Frame, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	frame, err := c.fr.ReadFrame()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return nil, io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errNothing
	case err != nil:
		return nil, fmt.Errorf("a frame that may not be sent: %w (%v)", err, c.fr.ErrorDetail())
	}
	c.note(frame)
	return frame, nil
}

func (c *conn) note(frame h2.Frame) {
	switch f := frame.(type) {
	case *h2.SettingsFrame:
		if f.IsAck() {
			c.acks++
			return
		}
		f.ForeachSetting(func(s h2.Setting) error { c.settings[s.ID] = s.Val; return nil })
		c.fr.WriteSettingsAck()
		c.flush()
	case *h2.PingFrame:
		if !f.IsAck() {
			c.fr.WritePing(true, f.Data)
			c.flush()
		}
	case *h2.GoAwayFrame:
		c.goAways = append(c.goAways, goAway{f.ErrCode, f.LastStreamID})
	case *h2.WindowUpdateFrame:
		c.opened[f.StreamID] += int(f.Increment)
	case *h2.DataFrame:
		c.received[f.StreamID] += len(f.Data())
	case *h2.MetaHeadersFrame:
		if s := f.PseudoValue("status"); s != "" {
			c.status[f.StreamID] = s
		}
		c.answer = map[string]string{}
		for _, field := range f.RegularFields() {
			c.answer[field.Name] = field.Value
		}
	}
}

// until reads frames until one is as wanted. Anything else than that one ends the test.
func (c *conn) until(is func(h2.Frame) bool) {
	c.t.Helper()
	for {
		frame, err := c.read()
		if err != nil {
			c.t.Fatalf("what must come has not come: %v", err)
		}
		if is(frame) {
			return
		}
	}
}

// outcome sends what was added and a fence, and tells what comes:
//
//	grpc-status 5          the stream that was begun last ended with this status
//	HTTP 415               it ended, with a :status other than 200
//	RST_STREAM CANCEL      it ended so
//	GOAWAY PROTOCOL_ERROR  the server has said so, and closed the connection
//	closed                 it has closed the connection without a word, or after GOAWAY NO_ERROR
//	ignored                only the fence was answered, and no answer of a call is expected
//	nothing                no more has come for a long time
func (c *conn) outcome() string {
	c.fence()
	c.flush()
	return c.result(c.stream, !c.expected)
}

// answered tells what comes for a stream.
func (c *conn) answered(stream uint32) string { return c.result(stream, false) }

func (c *conn) result(stream uint32, fenced bool) string {
	broken := ""
	for {
		frame, err := c.read()
		switch {
		case errors.Is(err, io.EOF) && broken == "":
			return "closed"
		case errors.Is(err, io.EOF):
			return broken
		case err != nil && broken != "":
			return broken + ", but not closed"
		case err != nil:
			return err.Error()
		}
		switch f := frame.(type) {
		case *h2.GoAwayFrame:
			if f.ErrCode != h2.ErrCodeNo {
				broken = "GOAWAY " + f.ErrCode.String()
			}
		case *h2.PingFrame:
			if f.IsAck() && f.Data == c.fenced() && fenced && broken == "" {
				return "ignored"
			}
		default:
			if end := c.end(frame, stream); end != "" && broken == "" {
				return end
			}
		}
	}
}

// end tells how a frame ends a stream; empty: it does not.
func (c *conn) end(frame h2.Frame, stream uint32) string {
	if frame.Header().StreamID != stream {
		return ""
	}
	switch f := frame.(type) {
	case *h2.RSTStreamFrame:
		return "RST_STREAM " + f.ErrCode.String()
	case *h2.MetaHeadersFrame:
		if !f.StreamEnded() {
			return ""
		}
		if s := c.status[stream]; s != "200" {
			return "HTTP " + s
		}
		return "grpc-status " + c.answer["grpc-status"]
	case *h2.DataFrame:
		if f.StreamEnded() {
			return "DATA ended the stream"
		}
	}
	return ""
}

// method is a method of a server, and a message to call it with.
type method struct {
	path    string
	message []byte // with its prefix
}

// fields are the fields of a request.
func (m method) fields() []hpack.HeaderField {
	return []hpack.HeaderField{
		field(":method", "POST"), field(":scheme", "http"), field(":path", m.path), field(":authority", "localhost"),
		field("te", "trailers"), field("content-type", "application/grpc"),
	}
}

// grown is the method with a message of size bytes, prefix and all: a field that nobody knows fills it.
func (m method) grown(size int) method {
	message := protowire.AppendTag(bytes.Clone(m.message[prefixBytes:]), 4000, protowire.BytesType)
	filling := size - prefixBytes - len(message) - 1
	filling -= protowire.SizeVarint(uint64(filling)) - 1
	m.message = prefixed(protowire.AppendBytes(message, make([]byte, filling)))
	return m
}

// prefixBytes is the size of what gRPC puts before a message.
const prefixBytes = 5

func field(name, value string) hpack.HeaderField { return hpack.HeaderField{Name: name, Value: value} }

// prefixed is a message as gRPC sends it.
func prefixed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// either lists what may come.
func either(wanted []string) string { return strings.Join(wanted, " or ") }
