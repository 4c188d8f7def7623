package grpcserver

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
)

func fewStreams(cfg *Config) { cfg.MaxStreams = 4 }

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang}, fewStreams)
		c := s.dial(t)
		if n := c.settings[http2.SettingMaxConcurrentStreams]; n != 4 {
			t.Errorf("the client may have %d streams", n)
		}
		var ids []uint32
		for range 4 {
			ids = append(ids, c.begin(talk, false))
		}
		c.wantReset(c.begin(talk, false), http2.ErrCodeRefusedStream)
		c.wantReset(c.begin(call, false), http2.ErrCodeRefusedStream)
		for _, id := range ids {
			if a := c.heard(id); len(a.resets) > 0 {
				t.Errorf("stream %d: %v", id, a.resets)
			}
		}
		c.WriteRSTStream(ids[0], http2.ErrCodeCancel)
		c.want(c.call([]byte("x")), []byte("x"))
		c.wantOpen()
	})
}

// Handlers may outlive their streams. A client that begins streams and resets them at once cannot have
// more of them than twice the streams that it may have.
func TestHandlersOfStreamsThatWereResetAreBounded(t *testing.T) {
	attacks := map[string]func(c *client){
		"streams": func(c *client) {
			id := c.begin(talk, false)
			c.WriteRSTStream(id, http2.ErrCodeCancel)
		},
		"calls": func(c *client) {
			id := c.call([]byte("x"))
			c.WriteRSTStream(id, http2.ErrCodeCancel)
		},
		"calls that wait for their requests": func(c *client) {
			var ids []uint32
			for range 4 {
				ids = append(ids, c.begin(call, false))
			}
			for _, id := range ids {
				c.send(id, prefixed([]byte("x")), true)
			}
			synctest.Wait()
			for _, id := range ids {
				c.WriteRSTStream(id, http2.ErrCodeCancel)
			}
		},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most atomic.Int64
				release := make(chan struct{})
				wait := func() {
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					<-release
					running.Add(-1)
				}
				s := serve(t, &service{
					talk: func(grpc.ServerStream) error { wait(); return nil },
					call: func(_ context.Context, in []byte) ([]byte, error) { wait(); return in, nil },
				}, fewStreams)
				c := s.dial(t)
				for range 50 {
					attack(c)
					synctest.Wait()
				}
				if n := most.Load(); n != 8 {
					t.Errorf("%d handlers run", n)
				}
				c.wantReset(c.begin(talk, true), http2.ErrCodeRefusedStream)
				close(release)
				s.conn(t).wantQuiet(t)
				c.want(c.call([]byte("x")), []byte("x"))
				c.wantOpen()
			})
		})
	}
}

// Streams whose answers the client does not take, and which it resets, leave nothing behind.
func TestStreamsThatWaitForTheWriterAreBounded(t *testing.T) {
	attack := func(t *testing.T, s *testServer, c *client) {
		for range 200 {
			id := c.call([]byte("x"))
			synctest.Wait()
			c.WriteRSTStream(id, http2.ErrCodeCancel)
			synctest.Wait()
			if n := s.pool.lent.Load(); n > 4 {
				t.Fatalf("%d buffers are in use", n)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) { // it reads nothing
		s := serve(t, &service{}, fewStreams)
		c := s.dialDeaf(t)
		synctest.Wait()
		attack(t, s, c)
		if sc := s.conn(t); sc.ready.size() > 8 || len(sc.streams) > 0 {
			t.Errorf("%d streams are ready, of %d", sc.ready.size(), len(sc.streams))
		}
	})
	synctest.Test(t, func(t *testing.T) { // its connection has no window
		s := serve(t, &service{}, fewStreams)
		c := s.dial(t)
		big := c.begin(call, false)
		c.flow(s, big, prefixed(make([]byte, 65535-prefixSize)), true)
		c.want(big, make([]byte, 65535-prefixSize))
		attack(t, s, c)
		if sc := s.conn(t); sc.starved.size()+sc.ready.size() > 9 || len(sc.streams) > 0 {
			t.Errorf("%d streams are starved and %d ready, of %d", sc.starved.size(), sc.ready.size(), len(sc.streams))
		}
	})
}

// A client that does not read the answers to its control frames is closed.
func TestAnswersToControlFramesAreBounded(t *testing.T) {
	floods := map[string]func(c *client) error{
		"PING":     func(c *client) error { return c.WritePing(false, [8]byte{}) },
		"SETTINGS": func(c *client) error { return c.WriteSettings() },
		"streams that are refused": func(c *client) error {
			c.next += 2
			return c.WriteHeaders(http2.HeadersFrameParam{StreamID: c.next, BlockFragment: c.encode(fields(call, "te", "x")), EndHeaders: true})
		},
		"DATA": func(c *client) error { return c.WriteDataPadded(3, false, nil, make([]byte, 255)) },
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, &service{talk: hang}, func(cfg *Config) { cfg.MinPing = 0; cfg.StreamWindow, cfg.ConnWindow = 1000, 65535 })
				c := s.dialDeaf(t)
				c.begin("/none", true)
				c.begin(talk, false)
				synctest.Wait()
				sc := s.conn(t)
				n := 0
				for ; flood(c) == nil; n++ {
					sc.mu.Lock()
					waiting := len(sc.control)
					sc.mu.Unlock()
					if waiting > maxControl+100 || n > 100_000 {
						t.Fatalf("%d bytes of control wait after %d frames", waiting, n)
					}
				}
				if n < 1000 {
					t.Errorf("closed after %d frames", n)
				}
				synctest.Wait()
				if s.conn(t) != nil {
					t.Error("the connection lasts")
				}
			})
		})
	}
}

// SETTINGS of a few bytes shift the windows of all streams. A client may change its mind, but not all the time.
func TestShiftsOfWindowsAreBounded(t *testing.T) {
	const streams, most = 1 << 10, maxShifts >> 10
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang}, func(cfg *Config) { cfg.MaxStreams = streams })
		c := s.dial(t)
		for range streams {
			c.begin(talk, false)
		}
		synctest.Wait()
		window := uint32(1000)
		shift := func(n int) {
			for range n {
				window++
				c.set(initialWindowOf(window))
			}
			synctest.Wait()
		}
		for range 5 {
			shift(most)
			c.wantOpen()
			time.Sleep(time.Second)
		}
		for range 5 * most {
			c.set(initialWindowOf(window)) // which shifts nothing
		}
		shift(most)
		c.wantOpen()
		shift(1)
		c.wantEnd(http2.ErrCodeEnhanceYourCalm)
	})
}

// Frames that ask for no answer leave nothing behind.
func TestFramesThatSayNothingLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang})
		c := s.dial(t)
		id := c.begin(talk, false)
		synctest.Wait()
		sc := s.conn(t)
		for range 5000 {
			c.WriteData(id, false, nil)
			c.WriteRawFrame(http2.FramePriority, 0, id, make([]byte, 5))
			c.WriteRawFrame(99, 0, id, []byte("unknown"))
			c.WriteRawFrame(http2.FrameGoAway, 0, 0, make([]byte, 8))
			c.WriteSettingsAck()
			c.WritePing(true, [8]byte{1})
			c.WriteWindowUpdate(1, 1)
		}
		synctest.Wait()
		if st := sc.streams[id]; len(st.in.data)+cap(st.in.data) > 0 || cap(sc.control) > 1000 || len(sc.streams) != 1 {
			t.Errorf("%d bytes, %d of control, %d streams", cap(st.in.data), cap(sc.control), len(sc.streams))
		}
		c.wantOpen()
	})
}

// headersOf writes a block in frames of a size, as many as there are.
func (c *client) headersOf(id uint32, block []byte, size int) (err error) {
	n := min(size, len(block))
	err = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:n], EndHeaders: n == len(block), EndStream: true})
	for block = block[n:]; len(block) > 0 && err == nil; block = block[n:] {
		n = min(size, len(block))
		err = c.WriteContinuation(id, n == len(block), block[:n])
	}
	return err
}

func TestHeadersAreBounded(t *testing.T) {
	literal := func(name, value string) (b []byte) { // enters the table
		return appendText(appendText([]byte{incremental}, name), value)
	}
	for name, test := range map[string]struct {
		block  func(c *client) []byte
		size   int
		code   http2.ErrCode
		stream bool
	}{
		"a field":          {func(c *client) []byte { return c.encode(fields(call, "x", strings.Repeat("x", 9<<10))) }, maxFrame, http2.ErrCodeEnhanceYourCalm, false},
		"fields":           {func(c *client) []byte { return c.encode(fields(call, slicesOf("x", 400)...)) }, maxFrame, http2.ErrCodeEnhanceYourCalm, true},
		"continued fields": {func(c *client) []byte { return bytes.Repeat(appendField(nil, "x", "v"), 2000) }, 1000, http2.ErrCodeEnhanceYourCalm, false},
		"frames":           {func(c *client) []byte { return c.encode(fields(call)) }, 0, http2.ErrCodeEnhanceYourCalm, false},
		"a bomb": {func(c *client) []byte {
			return append(literal("x", strings.Repeat("x", 4000)), strings.Repeat("\xbe", 12_000)...)
		}, maxFrame, http2.ErrCodeEnhanceYourCalm, true},
		"a table that is too large": {func(c *client) []byte { return []byte{0x3f, 0xe2, 0x1f} }, maxFrame, http2.ErrCodeCompression, false},
		"an index of nothing":       {func(c *client) []byte { return []byte{0xff, 0xff, 0x01} }, maxFrame, http2.ErrCodeCompression, false},
		"half a field":              {func(c *client) []byte { return literal("x", "long")[:4] }, maxFrame, http2.ErrCodeCompression, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, &service{})
				c := s.dial(t)
				sc := s.conn(t)
				if n := c.settings[http2.SettingMaxHeaderListSize]; n != uint32(s.cfg.MaxHeaderBytes) {
					t.Errorf("the client may send headers of %d bytes", n)
				}
				id := c.next
				c.next += 2
				if test.size > 0 {
					_ = c.headersOf(id, test.block(c), test.size)
				} else { // endless
					c.WriteHeaders(http2.HeadersFrameParam{StreamID: id})
					n := 0
					for ; n < 1000 && c.WriteContinuation(id, false, nil) == nil; n++ {
					}
					if n != maxContinuations {
						t.Errorf("%d frames are taken", n)
					}
				}
				if !test.stream {
					c.wantEnd(test.code)
				} else {
					c.wantReset(id, test.code)
					c.want(c.call([]byte("x")), []byte("x"))
				}
				if h := sc.headers; len(h.key) > 2*s.cfg.MaxHeaderBytes || len(h.fields) > s.cfg.MaxHeaderBytes/32 {
					t.Errorf("%d bytes in %d fields", len(h.key), len(h.fields))
				}
			})
		})
	}
}

// slicesOf is n pairs of a name, and a value.
func slicesOf(name string, n int) (all []string) {
	for range n {
		all = append(all, name, "v")
	}
	return all
}

// Headers that are cut into frames are those that are not; nothing may come in between.
func TestHeadersMayBeContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{})
		c := s.dial(t)
		for _, size := range []int{0, 1, 5, 20} {
			block := c.encode(fields(talk, "x", strings.Repeat("x", 20)))
			id := c.next
			c.next += 2
			if size == 0 {
				c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: true})
				c.WriteContinuation(id, true, block)
			} else if err := c.headersOf(id, block, max(size, (len(block)+maxContinuations-1)/maxContinuations)); err != nil {
				t.Fatal(err)
			}
			c.want(id)
		}
		id := c.next
		c.next += 2
		c.WriteHeaders(http2.HeadersFrameParam{
			StreamID: id, BlockFragment: c.encode(fields(talk)), EndHeaders: true, EndStream: true,
			PadLength: 9, Priority: http2.PriorityParam{StreamDep: 1, Weight: 3},
		})
		c.want(id)
		id = c.next
		c.next += 2
		c.WriteHeaders(http2.HeadersFrameParam{
			StreamID: id, BlockFragment: c.encode(fields(talk, "new", "x")), EndHeaders: true, EndStream: true, Priority: http2.PriorityParam{StreamDep: id},
		})
		c.wantReset(id, http2.ErrCodeProtocol)
		c.want(c.begin(talk, true, "new", "x")) // of which the table knows
		c.WriteHeaders(http2.HeadersFrameParam{StreamID: c.next, BlockFragment: c.encode(fields(talk))})
		c.WritePing(false, [8]byte{})
		c.wantEnd(http2.ErrCodeProtocol)
	})
}

// A handler whose client does not take its messages waits with the next.
func TestWhatAStreamHasToSendIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1000
		var sent atomic.Int64
		s := serve(t, &service{talk: func(st grpc.ServerStream) error {
			for {
				if err := st.SendMsg(make([]byte, size)); err != nil {
					return err
				}
				sent.Add(prefixSize + size)
			}
		}})
		c := s.dial(t, initialWindowOf(0))
		id := c.begin(talk, false)
		c.heard(id)
		st := s.conn(t).streams[id]
		for range 3 {
			if n := st.out.size; n < sendQuota || n >= sendQuota+prefixSize+size {
				t.Errorf("%d bytes wait", n)
			}
			taken := int64(len(c.heard(id).data))
			c.widen(id, 20_000)
			c.heard(id)
			if n := sent.Load() - taken; n < sendQuota {
				t.Errorf("the handler is asleep after %d bytes", n)
			}
		}
		c.WriteRSTStream(id, http2.ErrCodeCancel)
		s.conn(t).wantQuiet(t)
		if n := s.pool.lent.Load(); n != 0 {
			t.Errorf("%d buffers are in use", n)
		}
	})
}

// Of the goroutines of many handlers, some wait for the next, and the rest ends.
func TestIdleWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang}, func(cfg *Config) { cfg.MaxStreams = 2 * maxIdle })
		before := runtime.NumGoroutine()
		c := s.dial(t)
		for range 3 {
			for range maxIdle + 100 {
				c.begin(talk, false)
			}
			synctest.Wait()
			if n := s.workers.idle.Load(); n != 0 {
				t.Errorf("%d workers are idle, and handlers wait", n)
			}
			for id := uint32(1); id < c.next; id += 2 {
				c.WriteRSTStream(id, http2.ErrCodeCancel)
			}
			s.conn(t).wantQuiet(t)
			if n := s.workers.idle.Load(); n != maxIdle {
				t.Errorf("%d workers are idle", n)
			}
			if n := runtime.NumGoroutine() - before; n > maxIdle+20 {
				t.Errorf("%d goroutines", n)
			}
		}
	})
}

// The deadlines of streams that have ended are forgotten, and with them the streams.
func TestDeadlinesOfStreamsThatHaveEndedAreForgotten(t *testing.T) {
	for name, end := range map[string]func(c *client, id uint32){
		"reset":       func(c *client, id uint32) { c.WriteRSTStream(id, http2.ErrCodeCancel) },
		"reset by us": func(c *client, id uint32) { c.WriteWindowUpdate(id, 0) },
		"answered":    func(c *client, id uint32) { c.send(id, nil, true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, &service{})
				c := s.dial(t)
				id := c.begin(call, false, "grpc-timeout", "1H")
				synctest.Wait()
				s.conn(t).mu.Lock()
				st := s.conn(t).streams[id]
				s.conn(t).mu.Unlock()
				end(c, id)
				s.conn(t).wantQuiet(t)
				if st.timer.Stop() {
					t.Error("the timer runs")
				}
				time.Sleep(2 * time.Hour)
				c.wantOpen()
			})
		})
	}
}
