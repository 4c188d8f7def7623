package grpcserver

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// A client that pings too often is told, in the words by which grpc-go's clients know it.
func TestAClientMustNotPingTooOften(t *testing.T) {
	const minPing = 5 * time.Second
	for name, test := range map[string]struct {
		every   time.Duration
		between func(c *client)
		most    int // pings; 0: as many as it likes
	}{
		"at once":               {0, func(*client) {}, 2 + maxStrikes},
		"a little too often":    {minPing - 1, func(*client) {}, 2 + maxStrikes},
		"often enough":          {minPing, func(*client) {}, 0},
		"between calls":         {0, func(c *client) { c.want(c.call([]byte("x")), []byte("x")) }, 0},
		"twice between calls":   {0, func(c *client) { c.want(c.call([]byte("x")), []byte("x")); c.WritePing(false, [8]byte{}) }, 0},
		"between what is wrong": {0, func(c *client) { c.WriteWindowUpdate(c.begin(talk, false), 0) }, 2 + maxStrikes},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serve(t, &service{}, func(cfg *Config) { cfg.MinPing = minPing }).dial(t)
				pings := 0
				for ; pings < 20 && !c.isClosed(); pings++ {
					test.between(c)
					c.WritePing(false, [8]byte{byte(pings)})
					synctest.Wait()
					time.Sleep(test.every)
				}
				if test.most == 0 {
					c.wantOpen()
					if c.pongs < pings {
						t.Errorf("%d of %d pings are answered", c.pongs, pings)
					}
					return
				}
				c.wantEnd(http2.ErrCodeEnhanceYourCalm)
				if pings != test.most || c.goAways[0].text != "too_many_pings" {
					t.Errorf("after %d pings: %v", pings, c.goAways)
				}
			})
		})
	}
}

// state tells whether the server has closed the connection, and how often it has pinged.
func (c *client) state() (closed bool, pings int) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed, len(c.pings)
}

func (c *client) isClosed() bool {
	closed, _ := c.state()
	return closed
}

// A silent client is asked whether it lives.
func TestASilentClientIsPinged(t *testing.T) {
	const idle, patience = 30 * time.Second, 10 * time.Second
	times := func(cfg *Config) { cfg.Idle, cfg.PingTimeout = idle, patience }
	open := func(t *testing.T) (*testServer, *client) {
		s := serve(t, &service{talk: hang}, times)
		c := s.dial(t)
		c.begin(talk, false)
		synctest.Wait()
		return s, c
	}
	t.Run("and closed if it does not answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := open(t)
			c.silent.Store(true)
			sc := s.conn(t)
			time.Sleep(idle - 1)
			if closed, pings := c.state(); closed || pings > 0 {
				t.Errorf("closed: %v, %d pings", closed, pings)
			}
			time.Sleep(patience)
			if closed, pings := c.state(); closed || pings != 1 {
				t.Errorf("closed: %v, %d pings", closed, pings)
			}
			time.Sleep(time.Nanosecond)
			if !c.isClosed() {
				t.Error("the connection lasts")
			}
			sc.wantQuiet(t)
		})
	})
	t.Run("and not closed if it does", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c := open(t)
			time.Sleep(100*idle + 1)
			if closed, pings := c.state(); closed || pings != 100 {
				t.Errorf("closed: %v, %d pings", closed, pings)
			}
		})
	})
	t.Run("nor if it says something else, however late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c := open(t)
			c.silent.Store(true)
			for range 10 {
				time.Sleep(idle + patience - 1)
				c.WriteWindowUpdate(0, 1)
			}
			if closed, pings := c.state(); closed || pings != 10 {
				t.Errorf("closed: %v, %d pings", closed, pings)
			}
		})
	})
	t.Run("and not at all if it is not silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c := open(t)
			for range 10 {
				time.Sleep(idle - 1)
				c.WriteWindowUpdate(0, 1)
			}
			if closed, pings := c.state(); closed || pings != 0 {
				t.Errorf("closed: %v, %d pings", closed, pings)
			}
		})
	})
	t.Run("and closed if it reads nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, &service{}, times)
			s.dialDeaf(t)
			time.Sleep(idle + patience + 1)
			if synctest.Wait(); s.conn(t) != nil {
				t.Error("the connection lasts")
			}
		})
	})
}

func TestPingsAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{})
		for name, test := range map[string]struct {
			stream uint32
			size   int
			code   http2.ErrCode
		}{
			"on a stream": {1, 8, http2.ErrCodeProtocol},
			"of 7 bytes":  {0, 7, http2.ErrCodeFrameSize},
			"of no bytes": {0, 0, http2.ErrCodeFrameSize},
		} {
			c := s.dial(t)
			c.WriteRawFrame(http2.FramePing, 0, test.stream, make([]byte, test.size))
			c.wantEnd(test.code)
			if c.pongs > 0 {
				t.Errorf("%s: it is answered", name)
			}
		}
	})
}

// A ping that follows a response is answered a little later, and a further one takes the answer along. One of a
// connection where nothing was written is answered at once.
func TestAPingBehindAResponseIsAnsweredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{}, func(cfg *Config) { cfg.MinPing = 0 }).dial(t)
		pongs := func() int {
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.pongs
		}
		ping := func(before, after int) {
			t.Helper()
			c.WritePing(false, [8]byte{1})
			if n := pongs(); n != before {
				t.Fatalf("%d pings are answered at once, not %d", n, before)
			}
			time.Sleep(heldPing)
			if n := pongs(); n != after {
				t.Fatalf("%d pings are answered later, not %d", n, after)
			}
		}
		ping(1, 1)
		for i := range 3 {
			c.want(c.call([]byte("x")), []byte("x"))
			ping(1+3*i, 2+3*i)

			c.want(c.call([]byte("x")), []byte("x"))
			c.WritePing(false, [8]byte{2})
			c.want(c.call([]byte("x")), []byte("x"))
			ping(4+3*i, 4+3*i)
		}
	})
}

// Frames of a connection that are malformed end it.
func TestMalformedFramesEndTheConnection(t *testing.T) {
	for name, test := range map[string]struct {
		kind   http2.FrameType
		flags  http2.Flags
		stream uint32
		size   int
		code   http2.ErrCode
	}{
		"SETTINGS on a stream":       {http2.FrameSettings, 0, 1, 0, http2.ErrCodeProtocol},
		"SETTINGS of 5 bytes":        {http2.FrameSettings, 0, 0, 5, http2.ErrCodeFrameSize},
		"an ack that says something": {http2.FrameSettings, http2.FlagSettingsAck, 0, 6, http2.ErrCodeFrameSize},
		"RST_STREAM of nothing":      {http2.FrameRSTStream, 0, 0, 4, http2.ErrCodeProtocol},
		"RST_STREAM of an idle one":  {http2.FrameRSTStream, 0, 9, 4, http2.ErrCodeProtocol},
		"RST_STREAM of 3 bytes":      {http2.FrameRSTStream, 0, 1, 3, http2.ErrCodeFrameSize},
		"PRIORITY of nothing":        {http2.FramePriority, 0, 0, 5, http2.ErrCodeProtocol},
		"GOAWAY on a stream":         {http2.FrameGoAway, 0, 1, 8, http2.ErrCodeProtocol},
		"HEADERS of no stream":       {http2.FrameHeaders, http2.FlagHeadersEndHeaders, 0, 0, http2.ErrCodeProtocol},
		"HEADERS too short":          {http2.FrameHeaders, http2.FlagHeadersPriority, 3, 4, http2.ErrCodeFrameSize},
		"HEADERS without a padding":  {http2.FrameHeaders, http2.FlagHeadersPadded, 3, 0, http2.ErrCodeFrameSize},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serve(t, &service{talk: hang}).dial(t)
				c.begin(talk, false)
				c.WriteRawFrame(test.kind, test.flags, test.stream, make([]byte, test.size))
				c.wantEnd(test.code)
			})
		})
	}
}
