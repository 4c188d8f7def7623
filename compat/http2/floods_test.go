package http2

import (
	"errors"
	"net"
	"os"
	"strings"
	"time"

	h2 "golang.org/x/net/http2"
)

// survives floods a server, and tells whether another connection is answered meanwhile. What becomes of the one of the flood is
// for the server to decide, as long as it decides: it must be closed, or be answered afterwards.
func survives(add func(*conn)) func(*conn) string {
	return func(c *conn) string {
		add(c)
		c.fence()
		written := make(chan struct{})
		go func() {
			defer close(written)
			c.flush()
		}()
		open(c.t, c.to)
		got := c.result(0, true)
		if got == "closed" || strings.HasPrefix(got, "GOAWAY ") {
			c.Close()
			got = "ended"
		}
		<-written
		return got
	}
}

// unread sends frames without an end, and reads nothing, until the server takes no more.
func unread(frame func(*conn)) func(*conn) string {
	return func(c *conn) string {
		const most = 64 << 20
		c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		for range 4096 {
			frame(c)
		}
		for sent, left := 0, c.out.Bytes(); sent < most; {
			c.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := c.Write(left)
			sent += n
			if left = left[n:]; len(left) == 0 {
				left = c.out.Bytes()
			}
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded) && n == 0:
				return "not read"
			case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
				return "ended"
			}
		}
		return "all was read"
	}
}

var floodCases = []testCase{
	{"streams that are reset at once, again and again", "CVE-2023-44487", survives(func(c *conn) {
		for range 10_000 {
			c.reset()
		}
	}), want("ignored", "ended"), ""},
	{"streams that the server has to reset, again and again", "CVE-2025-8671", survives(func(c *conn) {
		for range 10_000 {
			c.begin(false, c.to.stream.fields())
			c.window(c.stream, 0)
		}
	}), want("ignored", "ended"), ""},
	{"CONTINUATIONs without an end", "CVE-2024-27316", survives(func(c *conn) {
		c.raw(h2.FrameHeaders, 0, c.next(), c.encode(c.to.unary.fields())...)
		block := c.encode(with("x", strings.Repeat("a", maxFrame-100))(nil))
		for range 1000 {
			c.fr.WriteContinuation(c.next(), false, block)
		}
	}), want("ended"), ""},
	{"empty CONTINUATIONs without an end", "CVE-2024-27316", survives(func(c *conn) {
		c.raw(h2.FrameHeaders, 0, c.next(), c.encode(c.to.unary.fields())...)
		for range 100_000 {
			c.fr.WriteContinuation(c.next(), false, nil)
		}
	}), want("ended"), ""},
	{"empty DATA", "CVE-2019-9518", survives(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		for range 100_000 {
			c.fr.WriteData(c.stream, false, nil)
		}
	}), want("ignored", "ended"), ""},
	{"PRIORITY", "CVE-2019-9513", survives(func(c *conn) {
		for range 100_000 {
			c.raw(h2.FramePriority, 0, c.next(), 0, 0, 0, 0, 1)
		}
	}), want("ignored", "ended"), ""},
	{"WINDOW_UPDATE", "10.5", survives(func(c *conn) {
		for range 100_000 {
			c.window(0, 1)
		}
	}), want("ignored", "ended"), ""},
	{"RST_STREAM of one stream", "10.5", survives(func(c *conn) {
		c.reset()
		for range 100_000 {
			c.fr.WriteRSTStream(c.stream, h2.ErrCodeCancel)
		}
	}), want("ignored", "ended"), ""},
	{"frames of an unknown type", "10.5", survives(func(c *conn) {
		for range 100_000 {
			c.raw(0xbe, 0, 0)
		}
	}), want("ignored", "ended"), ""},

	{"SETTINGS whose acknowledgements nobody reads", "CVE-2019-9515", unread(func(c *conn) {
		c.fr.WriteSettings()
	}), want("not read", "ended"), ""},
	{"PINGs whose acknowledgements nobody reads", "CVE-2019-9512", unread(func(c *conn) {
		c.fr.WritePing(false, [8]byte{})
	}), want("not read", "ended"), ""},

	{"a small block that is large when it is decoded", "CVE-2016-1544", survives(func(c *conn) {
		// One field of 4000 bytes, and 10,000 times its index, in many streams.
		fields := append(c.to.stream.fields(), field("x", strings.Repeat("a", 3900)))
		for range 10 {
			c.begin(false, fields)
			for range 10_000 {
				fields = append(fields, fields[6])
			}
		}
	}), want("ignored", "ended"), ""},
	{"large replies that nobody reads", "CVE-2019-9517", func(c *conn) string {
		c.set(window(0))
		const calls = 50
		first := c.next()
		for range calls {
			c.call(c.to.large)
		}
		c.expected = false
		if got := c.outcome(); got != "ignored" {
			return got
		}
		open(c.t, c.to)
		// They come when there are windows.
		c.window(0, 1<<30)
		c.fr.WriteSettings(window(1 << 20))
		c.flush()
		for done := 0; done < calls; {
			c.until(func(f h2.Frame) bool {
				id := f.Header().StreamID
				if id >= first && c.end(f, id) == "grpc-status 0" {
					done++
				}
				return true
			})
		}
		return "all answered"
	}, want("all answered"), ""},
}
