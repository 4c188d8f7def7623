package http2

import (
	"bytes"
	"io"

	h2 "golang.org/x/net/http2"
)

// The cases of the preface use a connection of their own.
var prefaceCases = []testCase{
	{"a preface that is not one", "3.4", func(c *conn) string {
		return c.greet("PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n", func(*conn) {})
	}, want("closed"), ""},
	{"no SETTINGS after the preface", "3.4", func(c *conn) string {
		return c.greet(h2.ClientPreface, func(c *conn) { c.call(c.to.unary) })
	}, want("closed"), ""},
	{"an acknowledgement of SETTINGS in place of the first SETTINGS", "3.4", func(c *conn) string {
		return c.greet(h2.ClientPreface, func(c *conn) {
			c.fr.WriteSettingsAck()
			c.call(c.to.unary)
		})
	}, want("closed"), "open"},
	{"a request in the same write as the preface", "3.4", func(c *conn) string {
		return c.greet(h2.ClientPreface, func(c *conn) {
			c.fr.WriteSettings()
			c.call(c.to.unary)
		})
	}, want("open"), ""},
}

// greet begins another connection, and tells whether a call is answered there. GOAWAY is not asked for.
func (c *conn) greet(preface string, add func(*conn)) string {
	other := dial(c.t, c.to)
	other.out.WriteString(preface)
	add(other)
	other.flush()
	if other.stream == 0 {
		if _, err := io.Copy(io.Discard, other); err != nil {
			return err.Error()
		}
		return "closed"
	}
	if other.answered(other.stream) == "grpc-status 0" {
		return "open"
	}
	return "closed"
}

var frameCases = []testCase{
	{"a frame of an unknown type", "4.1", send(func(c *conn) { c.raw(0xbe, 0xff, 0, 1, 2, 3) }), ignored, ""},
	{"a frame of an unknown type on a stream", "4.1", send(func(c *conn) { c.raw(0xbe, 0xff, c.next(), 1, 2, 3) }), ignored, ""},
	{"flags that are not defined", "4.1", send(func(c *conn) {
		c.raw(h2.FrameSettings, 0xfe, 0)
		c.raw(h2.FrameWindowUpdate, 0xff, 0, 0, 0, 0, 1)
	}), ignored, ""},
	{"the reserved bit of a stream id", "4.1", send(func(c *conn) { c.raw(h2.FrameWindowUpdate, 0, 1<<31, 0, 0, 0, 1) }), ignored, ""},
	{"DATA of the largest size", "4.2", send(func(c *conn) {
		c.begin(false, c.to.unary.fields())
		c.data(true, c.to.unary.grown(maxFrame).message)
	}), ok, ""},
	{"DATA larger than allowed", "4.2", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.raw(h2.FrameData, 0, c.stream, make([]byte, maxFrame+1)...)
	}), want("RST_STREAM FRAME_SIZE_ERROR", "GOAWAY FRAME_SIZE_ERROR"), ""},
	{"HEADERS larger than allowed", "4.2", send(func(c *conn) {
		c.raw(h2.FrameHeaders, h2.FlagHeadersEndHeaders, c.next(), bytes.Repeat([]byte{0x82}, maxFrame+1)...)
	}), sizeError, ""},
	{"an unknown frame larger than allowed", "4.2", send(func(c *conn) { c.raw(0xbe, 0, 0, make([]byte, maxFrame+1)...) }), sizeError, ""},
	{"HEADERS on stream 0", "6.2", send(func(c *conn) {
		c.raw(h2.FrameHeaders, h2.FlagHeadersEndHeaders, 0, c.encode(c.to.unary.fields())...)
	}), protocolError, ""},
	{"DATA on stream 0", "6.1", send(func(c *conn) { c.raw(h2.FrameData, 0, 0, 1) }), protocolError, ""},
	{"RST_STREAM on stream 0", "6.4", send(func(c *conn) { c.raw(h2.FrameRSTStream, 0, 0, 0, 0, 0, 8) }), protocolError, ""},
	{"RST_STREAM of another length", "6.4", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.raw(h2.FrameRSTStream, 0, c.stream, 0, 0, 8)
	}), sizeError, ""},
	{"PUSH_PROMISE", "8.4", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.raw(h2.FramePushPromise, h2.FlagPushPromiseEndHeaders, c.stream, append([]byte{0, 0, 0, 2}, c.encode(c.to.unary.fields())...)...)
	}), protocolError, "ignored"},
}

// padded is a payload with n bytes of padding.
func padded(b []byte, n byte) []byte { return append(append([]byte{n}, b...), make([]byte, n)...) }

var paddingCases = []testCase{
	{"padded DATA", "6.1", send(func(c *conn) {
		c.begin(false, c.to.unary.fields())
		c.raw(h2.FrameData, h2.FlagDataPadded|h2.FlagDataEndStream, c.stream, padded(c.to.unary.message, 200)...)
		c.expected = true
	}), ok, ""},
	{"padded HEADERS", "6.2", send(func(c *conn) {
		c.stream = c.next()
		c.raw(h2.FrameHeaders, h2.FlagHeadersPadded|h2.FlagHeadersEndHeaders, c.stream, padded(c.encode(c.to.unary.fields()), 200)...)
		c.data(true, c.to.unary.message)
	}), ok, ""},
	{"padded HEADERS with a priority", "6.2", send(func(c *conn) {
		c.stream = c.next()
		block := append([]byte{0, 0, 0, 0, 10}, c.encode(c.to.unary.fields())...)
		c.raw(h2.FrameHeaders, h2.FlagHeadersPadded|h2.FlagHeadersPriority|h2.FlagHeadersEndHeaders, c.stream, padded(block, 9)...)
		c.data(true, c.to.unary.message)
	}), ok, ""},
	{"DATA with nothing but padding", "6.1", send(func(c *conn) {
		c.begin(false, c.to.unary.fields())
		c.raw(h2.FrameData, h2.FlagDataPadded, c.stream, padded(nil, 0)...)
		c.raw(h2.FrameData, h2.FlagDataPadded, c.stream, padded(nil, 255)...)
		c.data(true, c.to.unary.message)
	}), ok, ""},
	{"DATA with more padding than payload", "6.1", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.raw(h2.FrameData, h2.FlagDataPadded, c.stream, 4, 0, 0, 0)
	}), protocolError, ""},
	{"DATA without the length of its padding", "6.1", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.raw(h2.FrameData, h2.FlagDataPadded, c.stream)
	}), want("GOAWAY PROTOCOL_ERROR", "GOAWAY FRAME_SIZE_ERROR"), ""},
	{"HEADERS with more padding than payload", "6.2", send(func(c *conn) {
		block := c.encode(c.to.stream.fields())
		c.stream = c.next()
		c.raw(h2.FrameHeaders, h2.FlagHeadersPadded|h2.FlagHeadersEndHeaders, c.stream, append([]byte{byte(len(block) + 1)}, block...)...)
	}), protocolError, "RST_STREAM PROTOCOL_ERROR"},
	{"HEADERS too short for a priority", "6.2", send(func(c *conn) {
		c.stream = c.next()
		c.raw(h2.FrameHeaders, h2.FlagHeadersPriority|h2.FlagHeadersEndHeaders, c.stream, 0, 0, 0)
	}), want("GOAWAY PROTOCOL_ERROR", "GOAWAY FRAME_SIZE_ERROR"), ""},
}

// split adds the HEADERS of a new unary call in parts, and between them what a case wants. The message is not sent.
func (c *conn) split(parts int, between func()) {
	c.stream = c.next()
	block := c.encode(c.to.unary.fields())
	size := len(block)/parts + 1
	c.raw(h2.FrameHeaders, 0, c.stream, block[:size]...)
	for block = block[size:]; len(block) > 0; block = block[min(size, len(block)):] {
		between()
		c.fr.WriteContinuation(c.stream, len(block) <= size, block[:min(size, len(block))])
	}
}

var continuationCases = []testCase{
	{"headers in many CONTINUATIONs", "6.10", send(func(c *conn) {
		c.split(8, func() {})
		c.data(true, c.to.unary.message)
	}), ok, ""},
	{"empty HEADERS and an empty CONTINUATION", "6.10", send(func(c *conn) {
		c.stream = c.next()
		c.raw(h2.FrameHeaders, 0, c.stream)
		c.raw(h2.FrameContinuation, 0, c.stream)
		c.fr.WriteContinuation(c.stream, true, c.encode(c.to.unary.fields()))
		c.data(true, c.to.unary.message)
	}), ok, ""},
	{"END_STREAM on HEADERS that CONTINUATION ends", "6.2", send(func(c *conn) {
		c.stream = c.next()
		block := c.encode(c.to.stream.fields())
		c.raw(h2.FrameHeaders, h2.FlagHeadersEndStream, c.stream, block[:5]...)
		c.fr.WriteContinuation(c.stream, true, block[5:])
		c.expected = true
	}), ok, ""},
	{"DATA between HEADERS and CONTINUATION", "6.2", send(func(c *conn) {
		c.split(2, func() { c.fr.WriteData(c.stream, false, nil) })
	}), protocolError, ""},
	{"PING between HEADERS and CONTINUATION", "6.2", send(func(c *conn) {
		c.split(2, func() { c.fr.WritePing(false, [8]byte{}) })
	}), protocolError, ""},
	{"HEADERS between HEADERS and CONTINUATION", "6.2", send(func(c *conn) {
		c.split(2, func() { c.raw(h2.FrameHeaders, h2.FlagHeadersEndHeaders, c.stream+2, 0x82) })
	}), protocolError, ""},
	{"an unknown frame between HEADERS and CONTINUATION", "5.5", send(func(c *conn) {
		c.split(2, func() { c.raw(0xbe, 0, c.stream) })
	}), protocolError, ""},
	{"CONTINUATION of another stream", "6.10", send(func(c *conn) {
		c.split(2, func() { c.fr.WriteContinuation(c.stream+2, true, []byte{0x82}) })
	}), protocolError, ""},
	{"CONTINUATION after END_HEADERS", "6.10", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.fr.WriteContinuation(c.stream, true, []byte{0x82})
	}), protocolError, ""},
	{"CONTINUATION on stream 0", "6.10", send(func(c *conn) { c.fr.WriteContinuation(0, true, []byte{0x82}) }), protocolError, ""},
	{"CONTINUATION without HEADERS", "6.10", send(func(c *conn) { c.fr.WriteContinuation(c.next(), true, []byte{0x82}) }), protocolError, ""},
}
