package grpcserver

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
)

// flow sends bytes on a stream within the windows that the server gives. It fails if they do not suffice.
func (c *client) flow(s *testServer, id uint32, b []byte, ended bool) {
	c.t.Helper()
	used := 0
	for first := true; first || len(b) > 0; first = false {
		a := c.heard(id)
		if a.ended || len(a.resets) > 0 {
			return
		}
		n := min(len(b), s.cfg.StreamWindow+a.credit-used)
		if n <= 0 && len(b) > 0 {
			c.t.Fatalf("stream %d: no credit for %d bytes", id, len(b))
		}
		c.send(id, b[:n], ended && n == len(b))
		b, used = b[n:], used+n
	}
}

// A client that nobody listens to may send one window, and no more.
func TestAClientIsAllowedOneWindowAheadOfItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang})
		c := s.dial(t)
		if c.settings[http2.SettingInitialWindowSize] != uint32(s.cfg.StreamWindow) || c.credit != s.cfg.ConnWindow-initialWindow {
			t.Errorf("%v, and %d for the connection", c.settings, c.credit)
		}
		for _, message := range []int{10, 1 << 20} {
			id := c.begin(talk, false)
			c.send(id, bytes.Repeat(prefixed(make([]byte, message)), 1+s.cfg.StreamWindow/message)[:s.cfg.StreamWindow], false)
			if a := c.heard(id); a.credit > 0 || len(a.resets) > 0 {
				t.Errorf("credit of %d, resets %v", a.credit, a.resets)
			}
			st := s.conn(t).streams[id]
			if n := len(st.in.data); n != s.cfg.StreamWindow || cap(st.in.data) > 2*n {
				t.Errorf("the inbox has %d of %d bytes", n, cap(st.in.data))
			}
			c.WriteData(id, false, []byte("x"))
			c.wantReset(id, http2.ErrCodeFlowControl)
			if st.in.data != nil {
				t.Errorf("%d bytes are kept for nobody", len(st.in.data))
			}
		}
		c.wantOpen()
		s.conn(t).wantQuiet(t)
	})
}

// Messages of all sizes pass, whatever the window is.
func TestMessagesPassThatAreLargerThanTheWindow(t *testing.T) {
	for _, window := range []int{65535, 64 << 10, 100_000} {
		for _, size := range []int{0, window/2 - 5, window / 2, window - 6, window - 5, window - 4, window, window + 10, window*3/2 - 5, window*3/2 + 5, 3 * window, 4 << 20} {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, &service{}, func(cfg *Config) { cfg.StreamWindow = window })
				c := s.dial(t)
				c.widen(0, 1<<30)
				message := pattern(size, size)
				unary, stream := c.begin(call, false), c.begin(talk, false)
				for _, id := range []uint32{unary, stream} {
					c.widen(id, 1<<30)
				}
				c.flow(s, unary, prefixed(message), true)
				c.want(unary, message)
				c.flow(s, stream, prefixed([]byte("a"), message, message, []byte("b")), true)
				c.want(stream, []byte("a"), message, message, []byte("b"))
				s.conn(t).wantQuiet(t)
			})
		}
	}
}

// A message that is larger than allowed is refused as soon as its size is known, and its client gets no
// credit for it.
func TestMessagesThatAreTooLargeAreRefused(t *testing.T) {
	for _, path := range []string{call, talk} {
		for _, claim := range []uint32{4<<20 + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
			synctest.Test(t, func(t *testing.T) {
				c := serve(t, &service{}).dial(t)
				id := c.begin(path, false)
				c.WriteData(id, false, []byte{0, byte(claim >> 24), byte(claim >> 16), byte(claim >> 8), byte(claim)})
				if a := c.heard(id); a.status() != "8" || a.credit > 0 {
					t.Errorf("%s, %d bytes: credit %d, %v", path, claim, a.credit, a.blocks)
				}
			})
		}
	}
}

// A client that announces a large message, and sends little of it, takes up what it has sent.
func TestAnAnnouncedMessageTakesWhatHasCome(t *testing.T) {
	for _, path := range []string{call, talk} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, &service{talk: func(st grpc.ServerStream) error { return st.RecvMsg(new([]byte)) }}, func(cfg *Config) { cfg.MaxMessageBytes = 17 << 20 })
			c := s.dial(t)
			id := c.begin(path, false)
			c.send(id, prefixed(make([]byte, 17<<20))[:1000], false)
			if a := c.heard(id); a.credit < 16<<20 {
				t.Errorf("%s: credit of %d", path, a.credit)
			}
			if st := s.conn(t).streams[id]; cap(st.in.data) > 2000 {
				t.Errorf("%s: %d bytes for 1000", path, cap(st.in.data))
			}
		})
	}
}

// A service may take less than the server does. What it takes comes, also ahead of a handler that waits.
func TestTheMessagesOfAServiceHaveABoundOfTheirOwn(t *testing.T) {
	const most = 100_000
	takes := &service{
		call: func(context.Context, []byte) ([]byte, error) { return nil, nil },
		talk: func(st grpc.ServerStream) error { return st.RecvMsg(new([]byte)) },
	}
	for _, path := range []string{call, talk} {
		for size, want := range map[int]string{most: "0", most + 1: "8"} {
			synctest.Test(t, func(t *testing.T) {
				s := serveBounded(t, takes, most)
				c := s.dial(t)
				id := c.begin(path, false)
				message := prefixed(pattern(1, size))
				if want == "0" {
					c.flow(s, id, message, true)
				} else {
					c.send(id, message[:prefixSize], false)
				}
				if a := c.heard(id); a.status() != want || want != "0" && a.text() != "grpc: received message larger than max (100001 vs. 100000)" {
					t.Errorf("%s, %d bytes: %v", path, size, a.blocks)
				}
			})
		}
	}
}

func TestBadMessagesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{})
		c := s.dial(t)
		for _, path := range []string{call, talk} {
			for _, test := range []struct {
				data         string
				encoding     string
				status, text string
			}{
				{"\x00\x00\x00", "", "13", errCut.Error()},
				{"\x00\x00\x00\x00\x05abc", "", "13", errCut.Error()},
				{"\x01\x00\x00\x00\x00", "identity", "13", "grpc: compressed flag set with identity or empty encoding"},
				{"\x01\x00\x00\x00\x01x", "snail", "12", `grpc: Decompressor is not installed for grpc-encoding "snail"`},
				{"\x01\x00\x00\x00\x01x", "gzip", "13", "grpc: failed to decompress the message: unexpected EOF"},
				{"\x01\x00\x00\x00\x00", "gzip", "13", "grpc: failed to decompress the message: EOF"},
				{"\x02\x00\x00\x00\x00", "", "13", "grpc: received unexpected payload format 2"},
			} {
				id := c.begin(path, false, "grpc-encoding", test.encoding)
				c.WriteData(id, true, []byte(test.data))
				a := c.heard(id)
				if a.status() != test.status || !bytes.HasSuffix([]byte(test.text), []byte(a.text())) {
					t.Errorf("%s %q: %v", path, test.data, a.blocks)
				}
			}
		}
		for _, path := range []string{call, tell} {
			if a := c.heard(c.begin(path, true)); a.status() != "13" || a.text() != "cardinality violation: received no request message from non-client-streaming RPC" {
				t.Errorf("%s without any data: %v", path, a.blocks)
			}
		}
		c.wantOpen()
		s.conn(t).wantQuiet(t)
	})
}

// A method to which clients stream nothing has one message, and the end behind it. What else comes is answered as by
// grpc-go, and as soon as it is known.
func TestOneMessageAndTheEnd(t *testing.T) {
	const more = "cardinality violation: received multiple request messages for non-client-streaming RPC"
	one := string(prefixed([]byte("a")))
	for _, path := range []string{call, tell} {
		for _, test := range []struct {
			name, data   string
			ended        bool
			status, text string
		}{
			{"nothing", "", true, "13", "cardinality violation: received no request message from non-client-streaming RPC"},
			{"one", one, true, "0", ""},
			{"one, and no end", one, false, "", ""},
			{"a bit more", one + "\x00\x00", false, "", ""},
			{"a bit more, and the end", one + "\x00\x00", true, "13", "unexpected EOF"},
			{"two", one + one, true, "13", more},
			{"another begins", one + "\x00\x00\x00\x10\x00", false, "13", more},
			{"another that is too large", one + "\x00\xff\x00\x00\x00", false, "8", "grpc: received message larger than max (4278190080 vs. 4194304)"},
			{"another that is bad", one + "\x02\x00\x00\x00\x00", false, "13", "grpc: received unexpected payload format 2"},
			{"a bad and too large one", "\x02\xff\x00\x00\x00", false, "8", "grpc: received message larger than max (4278190080 vs. 4194304)"},
		} {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, &service{})
				c := s.dial(t)
				id := c.begin(path, false)
				c.WriteData(id, test.ended, []byte(test.data))
				if a := c.heard(id); a.status() != test.status || test.text != "" && a.text() != test.text {
					t.Errorf("%s, %s: %v", path, test.name, a.blocks)
				}
				c.WriteRSTStream(id, http2.ErrCodeCancel)
				c.wantOpen()
				s.conn(t).wantQuiet(t)
			})
		}
	}
}

// Padding counts in both windows, and is given back.
func TestPaddingCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang})
		c := s.dial(t)
		id := c.begin(talk, false)
		c.WriteDataPadded(id, false, []byte("ab"), make([]byte, 7))
		c.heard(id)
		sc := s.conn(t)
		if st := sc.streams[id]; st.in.window != s.cfg.StreamWindow-10 || string(st.in.data) != "ab" || sc.receiveWindow != s.cfg.ConnWindow-10 {
			t.Errorf("windows of %d and %d, %q", st.in.window, sc.receiveWindow, st.in.data)
		}
		const padded = 256
		for range 10 * s.cfg.StreamWindow / padded {
			c.WriteDataPadded(id, false, nil, make([]byte, padded-1))
		}
		if a := c.heard(id); a.credit < 9*s.cfg.StreamWindow || a.credit > 10*s.cfg.StreamWindow+10 || len(a.resets) > 0 {
			t.Errorf("credit of %d, resets %v", a.credit, a.resets)
		}
		for _, payload := range [][]byte{{1}, {200, 1, 2, 3}} {
			id := c.begin(talk, false)
			c.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, id, payload)
			c.wantEnd(http2.ErrCodeProtocol)
			c = s.dial(t)
		}
	})
}

// What comes for streams that have ended is given back, for the connection.
func TestTheWindowOfTheConnectionIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang})
		c := s.dial(t)
		ended := c.begin("/none", false)
		reset := c.begin(talk, false)
		c.WriteRSTStream(reset, http2.ErrCodeCancel)
		var ids []uint32
		for range 5 {
			ids = append(ids, c.begin(talk, false))
		}
		before := c.credit
		sent := 0
		for i := range 10 * s.cfg.ConnWindow / maxFrame {
			c.WriteData([]uint32{ended, reset}[i%2], false, make([]byte, maxFrame))
			sent += maxFrame
			c.heard(0)
		}
		for _, id := range ids { // and for those whose handlers take nothing
			c.send(id, make([]byte, s.cfg.StreamWindow), false)
			sent += s.cfg.StreamWindow
		}
		c.heard(0)
		if credit := c.credit - before; credit > sent || credit < sent-s.cfg.ConnWindow/2 {
			t.Errorf("credit of %d for %d bytes", credit, sent)
		}
		c.wantOpen()
	})
}

// A message that was taken is not kept in memory by the beginning of the next.
func TestTheMemoryOfAMessageIsLetGo(t *testing.T) {
	cfg := &Config{StreamWindow: 1000}
	const spare = 10_000 // shows where the rest is
	for _, size := range []int{10, 1000, 100_000} {
		sent := append(prefixed(make([]byte, size)), 0)
		in := &inbox{data: make([]byte, 0, len(sent)+spare), window: len(sent), most: 1 << 20}
		in.put(sent, 0, false, cfg)
		m, ok, err := in.take(cfg, "")
		if len(m.data) != size || !ok || err != nil || len(in.data) != 1 {
			t.Fatalf("%d bytes, %v, %v; %d are left", len(m.data), ok, err, len(in.data))
		}
		if moved := cap(in.data) < spare; moved != (size >= cfg.StreamWindow) {
			t.Errorf("after a message of %d bytes the rest has moved: %v", size, moved)
		}
	}
}

// memory is how much memory there is for what has come.
func (in *inbox) memory() (n int) {
	n = in.taken + cap(in.data)
	for _, b := range in.behind {
		n += cap(b)
	}
	return n
}

// Messages come in frames, faster than they are taken. None is lost, and they take little more memory than their size.
// Where they are not small none keeps another in memory.
func TestMessagesHaveTheirOwnMemory(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		least := int(seed%2) * ownMemory
		in, cfg := &inbox{window: 1 << 30, most: 1 << 20}, &Config{StreamWindow: 1 << 20}
		var sent [][]byte
		took := 0
		take := func() {
			m, ok, err := in.take(cfg, "")
			if err != nil || ok && (!bytes.Equal(m.data, sent[took]) || least > 0 && !m.own) {
				t.Fatalf("seed %d, message %d: %d bytes, own %v, %v", seed, took, len(m.data), m.own, err)
			}
			if ok {
				took++
			}
		}
		for range 20 {
			message := pattern(len(sent), least+rng.IntN(1+rng.IntN(40_000)))
			sent = append(sent, message)
			for rest := prefixed(message); len(rest) > 0; {
				n := min(len(rest), max(least, 1+rng.IntN(maxFrame)))
				in.put(rest[:n], 0, false, cfg)
				in.put(nil, 0, false, cfg)
				if rest = rest[n:]; in.memory() > 2*(in.size()+in.taken)+100 || len(in.behind) > 1+in.later/ownMemory {
					t.Fatalf("seed %d: %d bytes for %d, of which %d were taken", seed, in.memory(), in.size()+in.taken, in.taken)
				}
			}
			for range rng.IntN(3) {
				take()
			}
		}
		for range sent {
			take()
		}
		if took != len(sent) || in.size() != 0 || in.memory() != 0 {
			t.Fatalf("seed %d: %d of %d messages, %d bytes are left", seed, took, len(sent), in.memory())
		}
	}
}

// A small message is not the owner of memory that has others before or behind it.
func TestASmallMessageKeepsNoOthersInMemory(t *testing.T) {
	cfg := &Config{StreamWindow: 1 << 20}
	in := &inbox{window: 1 << 30, most: 1 << 20}
	in.put(bytes.Repeat(prefixed(make([]byte, 100)), 100), 0, false, cfg)
	for i := range 100 {
		if m, ok, err := in.take(cfg, ""); !ok || err != nil || m.own {
			t.Fatalf("message %d: own %v, %v, %v", i, m.own, ok, err)
		}
	}
}

// A client gets credit for a large message when its handler waits for that, not when it has waited for
// another.
func TestCreditIsForTheMessageThatIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := make(chan struct{})
		s := serve(t, &service{talk: func(st grpc.ServerStream) error {
			for {
				if err := st.RecvMsg(new([]byte)); err != nil {
					return err
				}
				<-next
			}
		}})
		c := s.dial(t)
		id := c.begin(talk, false)
		synctest.Wait()
		c.send(id, prefixed([]byte("small")), false)
		synctest.Wait()
		large := prefixed(make([]byte, 1<<20))
		c.send(id, large[:s.cfg.StreamWindow/2+100], false)
		if a := c.heard(id); a.credit > 0 {
			t.Errorf("credit of %d, and nobody waits", a.credit)
		}
		close(next)
		if a := c.heard(id); a.credit != len(prefixed([]byte("small")))+len(large)+endRoom-s.cfg.StreamWindow {
			t.Errorf("credit of %d", a.credit)
		}
	})
}

// What a stream has of its client, with what the client may send, is bounded at all times, also while a
// handler waits for a large message and is slow to come for it.
func TestTheInboxIsBoundedWhileAMessageIsAwaited(t *testing.T) {
	const maxMessage = 10_000
	cfg := &Config{StreamWindow: 1000}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		in := &inbox{window: cfg.StreamWindow, most: maxMessage}
		size := rng.IntN(12_000)
		stream := bytes.Repeat(prefixed(make([]byte, size)), 20)
		most := max(cfg.StreamWindow, prefixSize+size+endRoom)
		if size > maxMessage {
			most = cfg.StreamWindow
		}
		taken := 0
		for step := 0; len(stream) > 0 && taken < 10; step++ {
			if n := min(rng.IntN(500), in.window, len(stream)); rng.IntN(4) > 0 {
				padding := rng.IntN(1 + min(in.window-n, 20))
				if _, ok := in.put(stream[:n], padding, false, cfg); !ok {
					t.Fatalf("seed %d: refused", seed)
				}
				stream = stream[n:]
			} else {
				_, ok, err := in.take(cfg, "")
				if err != nil {
					break // too large
				}
				if ok {
					taken++
				}
				in.due(cfg)
			}
			in.begin(cfg)
			if has := in.size() + in.window; has > most || in.window < 0 {
				t.Fatalf("seed %d, message of %d: %d bytes and a window of %d", seed, size, in.size(), in.window)
			}
			if step > 100_000 {
				t.Fatalf("seed %d, message of %d: nothing moves: %d bytes and a window of %d", seed, size, in.size(), in.window)
			}
		}
	}
}

// A client that ends the connection's side of a stream twice, or sends on a stream that it has not
// begun, is told.
func TestDataOutOfPlaceIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang, call: func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		c := s.dial(t)
		id := c.begin(talk, true)
		c.WriteData(id, false, nil)
		c.wantReset(id, http2.ErrCodeStreamClosed)
		id = c.call(nil)
		c.begin(talk, false)
		c.WriteData(id, false, nil)
		c.wantReset(id, http2.ErrCodeStreamClosed)
		c.wantOpen()
		for _, id := range []uint32{0, 2, 99} {
			c.WriteRawFrame(http2.FrameData, 0, id, nil)
			c.wantEnd(http2.ErrCodeProtocol)
			c = s.dial(t)
		}
		for _, kind := range []http2.FrameType{http2.FrameContinuation, http2.FramePushPromise} {
			c.WriteRawFrame(kind, 0, 1, make([]byte, 4))
			c.wantEnd(http2.ErrCodeProtocol)
			c = s.dial(t)
		}
		c.WriteHeaders(http2.HeadersFrameParam{StreamID: 2, BlockFragment: c.encode([]hpack.HeaderField{}), EndHeaders: true})
		c.wantEnd(http2.ErrCodeProtocol)
	})
}
