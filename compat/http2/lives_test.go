package http2

import (
	"fmt"
	"strings"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
)

// each runs a test for each of the servers, of which it has one to itself.
func each(t *testing.T, test func(*testing.T, target)) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) { test(t, s.start(t)) })
	}
}

// take waits for what a channel brings.
func take[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatal("what must come has not come")
	}
	return v
}

// hold begins a call, and returns when its handler runs.
func (c *conn) hold(name, text string) *heldCalls {
	c.t.Helper()
	c.call(ask(name, text))
	c.flush()
	h := c.to.probe.held(text)
	take(c.t.(*testing.T), h.began)
	return h
}

func TestContextEndsWithTheCall(t *testing.T) {
	each(t, func(t *testing.T, to target) {
		for name, end := range map[string]func(*conn){
			"RST_STREAM CANCEL":                func(c *conn) { c.fr.WriteRSTStream(c.stream, h2.ErrCodeCancel) },
			"RST_STREAM NO_ERROR":              func(c *conn) { c.fr.WriteRSTStream(c.stream, h2.ErrCodeNo) },
			"a connection that is closed":      func(c *conn) { c.Close() },
			"a connection error of the client": func(c *conn) { c.fr.WriteData(0, false, nil) },
		} {
			t.Run(name, func(t *testing.T) {
				c := open(t, to)
				h := c.hold("Hold", name)
				end(c)
				c.flush()
				if got := take(t, h.ended); got != "context canceled" {
					t.Errorf("%s", got)
				}
			})
		}
	})
}

// A call whose context ends by its timeout has its end, whatever its handler does.
func TestTimeoutEndsTheContext(t *testing.T) {
	each(t, func(t *testing.T, to target) {
		c := open(t, to)
		c.call(ask("Hold", "timeout"), field("grpc-timeout", "20m"))
		c.flush()
		if got := c.answered(c.stream); got != "grpc-status 4" && got != "RST_STREAM CANCEL" {
			t.Errorf("%s", got)
		}
		h := to.probe.held("timeout")
		select {
		case <-h.began:
			got := take(t, h.ended)
			// A timer of grpc-go's own may be first, and cancel the call.
			if got != "context deadline exceeded" && !(to.grpcGo && got == "context canceled") {
				t.Errorf("the handler sees: %s", got)
			}
		default: // it was over before
		}
	})
}

// However many streams a client begins and resets, no more handlers run than it may have streams (CVE-2023-44487).
func TestResetsDoNotAddHandlers(t *testing.T) {
	each(t, func(t *testing.T, to target) {
		const text = "resets"
		c := open(t, to)
		var h *heldCalls
		for range maxStreams {
			h = c.hold("Cling", text)
			c.fr.WriteRSTStream(c.stream, h2.ErrCodeCancel)
		}
		for range maxStreams {
			c.call(ask("Cling", text))
		}
		c.expected = false
		c.flush()
		open(t, to) // others are answered
		h.release()
		// The server may have refused these streams, or the client.
		if got := c.outcome(); got != "ignored" && !strings.HasSuffix(got, " REFUSED_STREAM") && got != "grpc-status 8" && got != "grpc-status 0" && got != "GOAWAY ENHANCE_YOUR_CALM" {
			t.Errorf("%s", got)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.peak > maxStreams {
			t.Errorf("%d handlers ran at once for a client that may have %d streams", h.peak, maxStreams)
		}
	})
}

// waitGoAway waits until n GOAWAYs have come, and returns the last one.
func (c *conn) waitGoAway(n int) goAway {
	c.t.Helper()
	for len(c.goAways) < n {
		c.until(func(h2.Frame) bool { return true })
	}
	return c.goAways[n-1]
}

// A graceful stop (RFC 9113 6.8) says that it comes, then which stream is the last one, lets calls in progress end, and closes.
func TestGracefulStop(t *testing.T) {
	each(t, func(t *testing.T, to target) {
		c := open(t, to)
		h := c.hold("Cling", "stop")
		held := c.stream
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			to.server.GracefulStop()
		}()

		away := c.waitGoAway(1)
		if away.code == h2.ErrCodeNo && away.last == 1<<31-1 {
			// A client that has not seen it yet may begin streams. They are answered.
			c.call(c.to.unary)
			c.flush()
			if got := c.answered(c.stream); got != "grpc-status 0" {
				t.Errorf("a call before the second GOAWAY: %s", got)
			}
			away = c.waitGoAway(2)
		}
		if away.code != h2.ErrCodeNo || away.last < held || away.last > c.stream {
			t.Errorf("the last GOAWAY: %s, stream %d", away.code, away.last)
		}
		select {
		case <-stopped:
			t.Error("it has stopped while a call was in progress")
		default:
		}

		c.call(c.to.unary)
		c.expected = false
		if got := c.outcome(); got != "ignored" && got != "RST_STREAM REFUSED_STREAM" {
			t.Errorf("a call after GOAWAY: %s", got)
		}
		h.release()
		if got := c.answered(held); got != "grpc-status 0" {
			t.Errorf("the call in progress: %s", got)
		}
		if got := c.answered(held); got != "closed" {
			t.Errorf("after the last call: %s", got)
		}
		take(t, stopped)
	})
}

// A stop ends all calls, and waits for their handlers.
func TestStop(t *testing.T) {
	each(t, func(t *testing.T, to target) {
		c := open(t, to)
		h := c.hold("Hold", "stop")
		to.server.Stop()
		select {
		case got := <-h.ended:
			if got != "context canceled" {
				t.Errorf("%s", got)
			}
		default:
			t.Error("the handler still runs")
		}
		if got := c.answered(c.stream); got != "closed" && got != "grpc-status 1" && !strings.HasPrefix(got, "RST_STREAM ") {
			t.Errorf("the call: %s", got)
		}
	})
}

func TestMaxConcurrentStreams(t *testing.T) {
	each(t, func(t *testing.T, to target) {
		c := open(t, to)
		if got := c.settings[h2.SettingMaxConcurrentStreams]; got != maxStreams {
			t.Fatalf("the server allows %d streams", got)
		}
		var h *heldCalls
		for i := range maxStreams {
			h = c.hold("Hold", fmt.Sprint("max ", i))
		}
		last := c.stream
		c.call(c.to.unary)
		if got := c.outcome(); got != "RST_STREAM REFUSED_STREAM" {
			t.Errorf("one too many: %s", got)
		}
		h.release()
		if got := c.answered(last); got != "grpc-status 0" {
			t.Errorf("one that was released: %s", got)
		}
		c.call(c.to.unary)
		c.flush()
		if got := c.answered(c.stream); got != "grpc-status 0" {
			t.Errorf("one in its place: %s", got)
		}
	})
}
