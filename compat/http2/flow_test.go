package http2

import (
	"fmt"

	h2 "golang.org/x/net/http2"
)

func window(bytes uint32) h2.Setting {
	return h2.Setting{ID: h2.SettingInitialWindowSize, Val: bytes}
}

// wait reads until so many bytes of data have come on the last stream, and the server has answered a PING after them. It returns
// how many have come then.
func (c *conn) wait(bytes int) int {
	c.t.Helper()
	c.flush()
	for c.received[c.stream] < bytes {
		c.until(func(h2.Frame) bool { return true })
	}
	if got := c.outcome(); got != "ignored" {
		c.t.Fatalf("got %s", got)
	}
	return c.received[c.stream]
}

var flowCases = []testCase{
	{"WINDOW_UPDATE of 0 on a stream", "6.9", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.window(c.stream, 0)
	}), want("RST_STREAM PROTOCOL_ERROR", "GOAWAY PROTOCOL_ERROR"), ""},
	{"WINDOW_UPDATE of 0 on the connection", "6.9", send(func(c *conn) { c.window(0, 0) }), protocolError, ""},
	{"WINDOW_UPDATE of another length", "6.9", send(func(c *conn) { c.raw(h2.FrameWindowUpdate, 0, 0, 0, 0, 1) }), sizeError, ""},
	{"a window of a stream beyond 2^31-1", "6.9.1", send(func(c *conn) {
		c.halfClosed()
		c.window(c.stream, 1<<31-1)
		c.window(c.stream, 1<<31-1)
	}), want("RST_STREAM FLOW_CONTROL_ERROR", "GOAWAY FLOW_CONTROL_ERROR"), "ignored"},
	{"a window of the connection beyond 2^31-1", "6.9.1", send(func(c *conn) { c.window(0, 1<<31-1) }), flowError, "ignored"},
	{"INITIAL_WINDOW_SIZE that takes a window beyond 2^31-1", "6.9.2", send(func(c *conn) {
		c.halfClosed()
		c.window(c.stream, 1<<31-1)
		c.fr.WriteSettings(window(1))
	}), flowError, "ignored"},

	{"nothing is sent beyond the window of a stream", "6.9.1", func(c *conn) string {
		c.set(window(1000))
		c.call(c.to.large)
		c.expected = false
		return fmt.Sprint(c.wait(1000))
	}, want("1000"), ""},
	{"nothing is sent beyond the window of the connection", "6.9.1", func(c *conn) string {
		const first = 65535
		before := c.received[c.stream]
		c.set(window(1 << 20))
		c.call(c.to.large)
		c.expected = false
		return fmt.Sprint(before + c.wait(first-before))
	}, want("65535"), ""},
	{"a window of a byte now and then", "6.9", func(c *conn) string {
		c.halfClosed()
		for i := range 10 {
			c.window(c.stream, 1)
			c.flush()
			for c.received[c.stream] <= i {
				c.until(func(h2.Frame) bool { return true })
			}
		}
		return fmt.Sprint(c.wait(10))
	}, want("10"), ""},
	{"a window that becomes negative", "6.9.2", func(c *conn) string {
		c.set(window(1000))
		c.call(c.to.large)
		c.expected = false
		first := c.wait(1000)
		c.set(window(500))
		c.window(c.stream, 500)
		second := c.wait(1000)
		c.window(c.stream, 1)
		return fmt.Sprint(first, second, c.wait(1001))
	}, want("1000 1000 1001"), ""},
	{"a window that INITIAL_WINDOW_SIZE opens", "6.9.2", func(c *conn) string {
		c.halfClosed()
		c.set(window(700))
		return fmt.Sprint(c.wait(700))
	}, want("700"), ""},
	{"an end without data needs no window", "6.9.1", func(c *conn) string {
		c.set(window(0))
		c.begin(false, method{path: "/none/none"}.fields())
		c.data(true, nil)
		return c.outcome()
	}, want("grpc-status 12"), ""},

	{"padding counts, and is given back", "6.9.1", func(c *conn) string {
		c.begin(false, c.to.unary.fields())
		c.flush()
		frame := padded(nil, 255)
		for sent := 0; sent < 3*c.initialWindow(); sent += len(frame) {
			c.raw(h2.FrameData, h2.FlagDataPadded, c.stream, frame...)
			c.flush()
			for c.room(sent+len(frame)) < len(frame) {
				c.until(func(h2.Frame) bool { return true })
			}
		}
		c.data(true, c.to.unary.message)
		return c.outcome()
	}, ok, ""},
	{"a client that sends beyond the window of a stream", "6.9.1", func(c *conn) string {
		if c.to.stuffed == nil {
			c.t.Skip("needs a stream that does not read")
		}
		c.set(window(0))
		c.begin(false, c.to.stuffed.fields())
		c.data(false, c.to.stuffed.message)
		c.data(false, make([]byte, c.initialWindow()+1))
		c.expected = true
		return c.outcome()
	}, want("RST_STREAM FLOW_CONTROL_ERROR", "GOAWAY FLOW_CONTROL_ERROR"), ""},
	{"a message larger than the windows", "6.9", func(c *conn) string {
		// The server must open the window of the stream for a message that it waits for.
		c.begin(false, c.to.unary.fields())
		c.flush()
		return c.upload(c.to.unary.grown(3 << 20).message)
	}, ok, ""},
}

// upload sends a message on the last stream as fast as the windows allow, and ends it.
func (c *conn) upload(b []byte) string {
	c.t.Helper()
	for sent := 0; sent < len(b); {
		n := min(c.room(sent), len(b)-sent, maxFrame)
		if n <= 0 {
			c.until(func(h2.Frame) bool { return true })
			continue
		}
		c.data(sent+n == len(b), b[sent:sent+n])
		c.flush()
		sent += n
	}
	return c.outcome()
}

// initialWindow is the window in bytes that the server gives each stream.
func (c *conn) initialWindow() int {
	if bytes, is := c.settings[h2.SettingInitialWindowSize]; is {
		return int(bytes)
	}
	return 65535
}

// room tells how many bytes may be sent after sent bytes of the last stream, before which there were small ones only.
func (c *conn) room(sent int) int {
	const small = 1000
	return min(c.initialWindow()+c.opened[c.stream], 65535-small+c.opened[0]) - sent
}
