package grpcserver

import (
	"bytes"
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
)

func initialWindowOf(n uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}
}

// Each byte of a stream waits for the window of that stream; client checks that none comes too early.
func TestAResponseWaitsForTheWindowOfItsStream(t *testing.T) {
	for _, window := range []int{0, 1, 4, 5, 6, 1000} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, &service{})
			c := s.dial(t, initialWindowOf(uint32(window)))
			message := pattern(1, 3000)
			id := c.call(message)
			all := prefixed(message)
			for sent := window; sent < len(all); sent += 500 {
				if a := c.heard(id); !bytes.Equal(a.data, all[:sent]) {
					t.Fatalf("window %d: %d bytes have come, want %d", window, len(a.data), sent)
				}
				c.widen(id, 500)
			}
			c.want(id, message)
			s.conn(t).wantQuiet(t)
		})
	}
}

// SETTINGS can make the window of a stream negative.
func TestAWindowMayBecomeNegative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{call: func(context.Context, []byte) ([]byte, error) { return pattern(1, 100_000), nil }})
		c := s.dial(t)
		c.widen(0, 1<<20)
		wantData := func(id uint32, n int) {
			t.Helper()
			if a := c.heard(id); len(a.data) != n {
				t.Fatalf("%d bytes have come, want %d", len(a.data), n)
			}
		}
		id := c.call(nil)
		wantData(id, 65535)
		c.set(initialWindowOf(35))
		wantData(id, 65535)
		c.widen(id, 65500)
		wantData(id, 65535)
		c.widen(id, 1)
		wantData(id, 65536)
		// Many values in one frame count as the last of them.
		c.mu.Lock()
		c.shrinks = append(c.shrinks, 0)
		c.mu.Unlock()
		c.WriteSettings(initialWindowOf(1<<30), initialWindowOf(0), initialWindowOf(1<<31-1), initialWindowOf(35))
		wantData(id, 65536)
		other := c.call(nil)
		wantData(other, 35)
		c.set(initialWindowOf(200_000))
		c.want(id, pattern(1, 100_000))
		c.want(other, pattern(1, 100_000))
		s.conn(t).wantQuiet(t)
	})
}

// Streams share the window of the connection: each gets on, however little there is.
func TestStreamsShareTheWindowOfTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams, size = 10, 20_000
		s := serve(t, &service{call: func(context.Context, []byte) ([]byte, error) { return pattern(1, size), nil }})
		c := s.dial(t)
		var ids []uint32
		for range streams {
			ids = append(ids, c.call(nil))
		}
		c.heard(0)
		if c.window != 0 {
			t.Fatalf("%d bytes of the window are unused", c.window)
		}
		had := make(map[uint32]int)
		for round := range 10 {
			for _, id := range ids {
				had[id] = len(c.heard(id).data)
			}
			for range streams {
				c.widen(0, 100)
				synctest.Wait()
			}
			for _, id := range ids {
				if a := c.heard(id); len(a.data) == had[id] && !a.ended {
					t.Errorf("round %d: stream %d has got nothing", round, id)
				}
			}
		}
		for c.heard(0); len(s.conn(t).streams) > 0; c.heard(0) {
			c.widen(0, 30_000)
		}
		for _, id := range ids {
			c.want(id, pattern(1, size))
		}
		s.conn(t).wantQuiet(t)
	})
}

// A stream whose client takes nothing does not hold up others, and what is not DATA needs no window.
func TestOnlyDataNeedsAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: func(st grpc.ServerStream) error {
			if err := st.SendHeader(metadata.Pairs("a", "b")); err != nil {
				return err
			}
			var in []byte
			_ = st.RecvMsg(&in)
			st.SetTrailer(metadata.Pairs("c", "d"))
			return nil
		}})
		c := s.dial(t, initialWindowOf(0))
		stuck := c.call([]byte("x"))
		id := c.begin(talk, false)
		if a := c.heard(id); len(a.blocks) != 1 || value(a.blocks[0], "a") != "b" {
			t.Errorf("headers: %v", a.blocks)
		}
		c.WriteData(id, true, nil)
		if a := c.heard(id); a.status() != "0" || value(a.blocks[1], "c") != "d" {
			t.Errorf("trailers: %v", a.blocks)
		}
		if a := c.heard(stuck); len(a.data) > 0 || a.ended {
			t.Errorf("%v", a)
		}
		c.set(initialWindowOf(10))
		c.want(stuck, []byte("x"))
	})
}

// A large answer passes windows that are given back as it comes, frame by frame.
func TestALargeAnswerPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 4 << 20
		s := serve(t, &service{call: func(context.Context, []byte) ([]byte, error) { return pattern(3, size), nil }})
		c := s.dial(t)
		id := c.call(nil)
		for had := 0; ; {
			a := c.heard(id)
			if a.ended {
				break
			}
			if len(a.data) == had {
				t.Fatalf("%d bytes, and then nothing", had)
			}
			c.widen(0, len(a.data)-had)
			c.widen(id, len(a.data)-had)
			had = len(a.data)
		}
		c.want(id, pattern(3, size))
	})
}

// Windows have bounds (RFC 9113, 6.9).
func TestWindowsThatAreTooLargeAreRefused(t *testing.T) {
	open := func(t *testing.T) (*client, uint32) {
		c := serve(t, &service{talk: hang}).dial(t)
		return c, c.begin(talk, false)
	}
	for name, test := range map[string]struct {
		act    func(*client, uint32)
		stream bool
		code   http2.ErrCode
	}{
		"a stream":                 {func(c *client, id uint32) { c.WriteWindowUpdate(id, 1<<31-65535) }, true, http2.ErrCodeFlowControl},
		"a stream by nothing":      {func(c *client, id uint32) { c.WriteWindowUpdate(id, 0) }, true, http2.ErrCodeProtocol},
		"the connection":           {func(c *client, _ uint32) { c.WriteWindowUpdate(0, 1<<31-65535) }, false, http2.ErrCodeFlowControl},
		"the connection by none":   {func(c *client, _ uint32) { c.WriteWindowUpdate(0, 0) }, false, http2.ErrCodeProtocol},
		"an idle stream":           {func(c *client, id uint32) { c.WriteWindowUpdate(id+2, 1) }, false, http2.ErrCodeProtocol},
		"a stream by SETTINGS":     {func(c *client, id uint32) { c.widen(id, 100); c.WriteSettings(initialWindowOf(1<<31 - 1)) }, false, http2.ErrCodeFlowControl},
		"SETTINGS":                 {func(c *client, _ uint32) { c.WriteSettings(initialWindowOf(1 << 31)) }, false, http2.ErrCodeFlowControl},
		"an update of 3 bytes":     {func(c *client, id uint32) { c.WriteRawFrame(http2.FrameWindowUpdate, 0, id, []byte{0, 0, 1}) }, false, http2.ErrCodeFrameSize},
		"a frame size of SETTINGS": {func(c *client, _ uint32) { c.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1}) }, false, http2.ErrCodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, id := open(t)
				synctest.Wait()
				test.act(c, id)
				if test.stream {
					c.wantReset(id, test.code)
					c.wantOpen()
				} else {
					c.wantEnd(test.code)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // but just at the bound they are not
		c, id := open(t)
		c.widen(id, 1<<31-1-65535)
		c.widen(0, 1<<31-1-65535)
		c.wantOpen()
	})
}

// A stream has little that its client has not taken, whatever it sends: a handler that has sent a large message goes
// on when most of that is gone, or the client is.
func TestALargeMessageIsAwaited(t *testing.T) {
	const size = 4 * sendQuota
	for _, gone := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var sent error
			returned := make(chan struct{})
			s := serve(t, &service{talk: func(st grpc.ServerStream) error {
				defer close(returned)
				sent = st.SendMsg(pattern(1, size))
				return sent
			}})
			c := s.dial(t, initialWindowOf(0))
			c.widen(0, size)
			id := c.begin(talk, false)
			wantReturned := func(want bool) {
				t.Helper()
				synctest.Wait()
				select {
				case <-returned:
					if !want {
						t.Fatal("it did not wait")
					}
				default:
					if want {
						t.Fatal("it waits")
					}
				}
			}
			wantReturned(false)
			c.widen(id, prefixSize+size-sendQuota)
			wantReturned(false)
			if gone {
				c.WriteRSTStream(id, http2.ErrCodeCancel)
			} else {
				c.widen(id, 1)
			}
			wantReturned(true)
			if gone == (sent == nil) {
				t.Errorf("gone: %t, and the message was sent with %v", gone, sent)
			}
			if !gone {
				c.widen(id, sendQuota)
				c.want(id, pattern(1, size))
			}
			s.conn(t).wantQuiet(t)
		})
	}
}

// writesConn notes how much each write has.
type writesConn struct {
	net.Conn
	sizes []int
}

func (c *writesConn) Write(b []byte) (int, error) {
	c.sizes = append(c.sizes, len(b))
	return c.Conn.Write(b)
}

// Writes of a large message are full, and none has a few bytes more than go into segments over loopback.
func TestWritesAreWholeSegmentsOverLoopback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1_000_000
		var writes *writesConn
		s := serve(t, &service{call: func(context.Context, []byte) ([]byte, error) { return pattern(1, size), nil }}, func(cfg *Config) {
			cfg.Handshake = func(nc net.Conn) (net.Conn, credentials.AuthInfo, error) {
				writes = &writesConn{Conn: nc}
				return writes, nil, nil
			}
		})
		c := s.dial(t, initialWindowOf(1<<30))
		c.widen(0, 1<<30)
		synctest.Wait()
		before := len(writes.sizes)
		c.want(c.call(nil), pattern(1, size))
		sizes := writes.sizes[before:]
		const first = 100 // headers come before the data
		if most := slices.Max(sizes); most > writeBytes+first || len(sizes) > size/writeBytes+2 {
			t.Errorf("%d bytes are written in pieces of %v, want at most %d", size, sizes, writeBytes)
		}
		if slices.ContainsFunc(sizes[1:], func(n int) bool { return n > writeBytes }) {
			t.Errorf("pieces of %v, want at most %d", sizes, writeBytes)
		}
		s.conn(t).wantQuiet(t)
	})
}
