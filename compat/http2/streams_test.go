package http2

import (
	"strings"

	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// halfClosed opens a stream that the client has ended, and the server cannot end: its reply waits for a window.
func (c *conn) halfClosed() {
	c.set(h2.Setting{ID: h2.SettingInitialWindowSize, Val: 0})
	c.call(c.to.large)
	c.expected = false
}

// closed has a stream closed by both sides.
func (c *conn) closed() {
	c.t.Helper()
	c.call(c.to.unary)
	c.flush()
	if got := c.answered(c.stream); got != "grpc-status 0" {
		c.t.Fatalf("a call: %s", got)
	}
	c.expected = false
}

// reset opens a stream, and resets it.
func (c *conn) reset() {
	c.begin(false, c.to.stream.fields())
	c.fr.WriteRSTStream(c.stream, h2.ErrCodeCancel)
}

// again adds HEADERS on the last stream.
func (c *conn) again(end bool) {
	c.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: c.stream, EndStream: end, EndHeaders: true, BlockFragment: c.encode(c.to.unary.fields())})
}

// What may come for a frame on a stream that is over: a server may take it for an error, or discard it, as it must when it has
// reset the stream itself. HEADERS there also have an id that does not rise.
var (
	streamClosed  = want("ignored", "RST_STREAM STREAM_CLOSED", "GOAWAY STREAM_CLOSED")
	streamClosedH = want("ignored", "RST_STREAM STREAM_CLOSED", "GOAWAY STREAM_CLOSED", "GOAWAY PROTOCOL_ERROR")
)

var streamCases = []testCase{
	// Idle.
	{"DATA on an idle stream", "5.1", send(func(c *conn) { c.fr.WriteData(c.next(), true, c.to.unary.message) }), protocolError, "ignored"},
	{"RST_STREAM on an idle stream", "5.1", send(func(c *conn) { c.fr.WriteRSTStream(c.next(), h2.ErrCodeCancel) }), protocolError, "ignored"},
	{"WINDOW_UPDATE on an idle stream", "5.1", send(func(c *conn) { c.window(c.next(), 1) }), protocolError, "ignored"},
	{"DATA on an even stream", "5.1", send(func(c *conn) { c.fr.WriteData(2, true, nil) }), protocolError, "ignored"},

	// Half-closed by the client.
	{"DATA after END_STREAM", "5.1", send(func(c *conn) {
		c.halfClosed()
		c.fr.WriteData(c.stream, false, []byte{0})
	}), want("RST_STREAM STREAM_CLOSED"), ""},
	{"HEADERS after END_STREAM", "5.1", send(func(c *conn) {
		c.halfClosed()
		c.again(true)
	}), want("RST_STREAM STREAM_CLOSED", "GOAWAY STREAM_CLOSED"), "GOAWAY PROTOCOL_ERROR"},
	{"WINDOW_UPDATE after END_STREAM", "5.1", send(func(c *conn) {
		c.halfClosed()
		c.window(0, 1<<20)
		c.window(c.stream, 1<<20)
		c.expected = true
	}), ok, ""},
	{"RST_STREAM after END_STREAM", "5.1", send(func(c *conn) {
		c.halfClosed()
		c.fr.WriteRSTStream(c.stream, h2.ErrCodeCancel)
	}), ignored, ""},

	// Closed.
	{"DATA after RST_STREAM", "5.1", send(func(c *conn) {
		c.reset()
		c.fr.WriteData(c.stream, false, []byte{0})
	}), streamClosed, ""},
	{"HEADERS after RST_STREAM", "5.1", send(func(c *conn) {
		c.reset()
		c.again(true)
	}), streamClosedH, ""},
	{"RST_STREAM after RST_STREAM", "5.1", send(func(c *conn) {
		c.reset()
		c.fr.WriteRSTStream(c.stream, h2.ErrCodeCancel)
	}), ignored, ""},
	{"WINDOW_UPDATE after RST_STREAM", "5.1", send(func(c *conn) {
		c.reset()
		c.window(c.stream, 1)
	}), ignored, ""},
	{"DATA on a closed stream", "5.1", send(func(c *conn) {
		c.closed()
		c.fr.WriteData(c.stream, false, []byte{0})
	}), streamClosed, ""},
	{"HEADERS on a closed stream", "5.1", send(func(c *conn) {
		c.closed()
		c.again(true)
	}), streamClosedH, ""},
	{"RST_STREAM on a closed stream", "5.1", send(func(c *conn) {
		c.closed()
		c.fr.WriteRSTStream(c.stream, h2.ErrCodeCancel)
	}), ignored, ""},
	{"WINDOW_UPDATE on a closed stream", "5.1", send(func(c *conn) {
		c.closed()
		c.window(c.stream, 1)
	}), ignored, ""},
	{"DATA on a stream that the server has just reset", "5.1", func(c *conn) string {
		return c.late(func() { c.fr.WriteData(c.stream, true, c.to.stream.message) })
	}, want("ignored", "RST_STREAM STREAM_CLOSED"), ""},
	{"WINDOW_UPDATE on a stream that the server has just reset", "5.1", func(c *conn) string {
		return c.late(func() { c.window(c.stream, 1) })
	}, ignored, ""},
	{"trailers on a stream that the server has just reset", "5.1", func(c *conn) string {
		return c.late(func() {
			block := c.encode([]hpack.HeaderField{{Name: "trailer", Value: "v"}})
			c.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: c.stream, EndStream: true, EndHeaders: true, BlockFragment: block})
		})
	}, ignored, "GOAWAY PROTOCOL_ERROR"},

	// Ids.
	{"a stream with an even id", "5.1.1", send(func(c *conn) {
		c.stream++
		c.again(true)
	}), protocolError, ""},
	{"a stream with a smaller id than another", "5.1.1", send(func(c *conn) {
		c.stream += 4
		c.begin(false, c.to.stream.fields())
		c.stream -= 2
		c.again(true)
	}), protocolError, ""},
	{"a stream whose id leaves out others", "5.1.1", send(func(c *conn) {
		c.stream += 1000
		c.call(c.to.unary)
	}), ok, ""},
	{"the stream with the largest id", "5.1.1", send(func(c *conn) {
		c.stream = 1<<31 - 3
		c.call(c.to.unary)
	}), ok, ""},

	// How many.
	{"one stream too many", "5.1.2", send(func(c *conn) {
		c.fill()
		c.begin(false, c.to.stream.fields())
		c.expected = true
	}), want("RST_STREAM REFUSED_STREAM", "RST_STREAM PROTOCOL_ERROR"), ""},
	{"a stream in the place of one that has ended", "5.1.2", func(c *conn) string {
		c.fill()
		c.leaveOne()
		c.call(c.to.unary)
		return c.outcome()
	}, ok, ""},
}

// late has a stream refused, and then adds frames for it, as a client does that has not heard of that.
func (c *conn) late(add func()) string {
	c.fill()
	c.begin(false, c.to.stream.fields())
	c.expected = true
	if got := c.outcome(); !strings.HasPrefix(got, "RST_STREAM ") {
		return got
	}
	c.expected = false
	add()
	return c.outcome()
}

// fill opens as many streams as the server allows.
func (c *conn) fill() {
	c.t.Helper()
	if c.settings[h2.SettingMaxConcurrentStreams] > 1000 {
		c.t.Skip("the server allows many streams: it has other bounds for so many")
	}
	for range c.settings[h2.SettingMaxConcurrentStreams] {
		c.begin(false, c.to.stream.fields())
	}
}

// leaveOne ends the last stream, and waits until the server has ended it, too. A server may count one that was reset until its
// handler has returned.
func (c *conn) leaveOne() {
	c.t.Helper()
	c.data(true, nil)
	c.flush()
	if got := c.answered(c.stream); got != "grpc-status 0" {
		c.t.Fatalf("a stream that was ended: %s", got)
	}
}
