package grpcserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// talker writes what a client may send, and knows how much of messages is unfinished.
type talker struct {
	*http2.Framer
	out        bytes.Buffer
	random     *rand.Rand
	unfinished map[uint32]int // bytes that have been sent of the stream's message
	rest       map[uint32]int // bytes of it to come
	next       uint32
}

func newTalker(random *rand.Rand) *talker {
	t := &talker{random: random, unfinished: map[uint32]int{}, rest: map[uint32]int{}, next: 1}
	t.out.WriteString(http2.ClientPreface)
	t.Framer = http2.NewFramer(&t.out, nil)
	t.WriteSettings()
	return t
}

// step sends one frame.
func (t *talker) step() {
	streams := make([]uint32, 0, len(t.unfinished))
	for s := uint32(1); s < t.next; s += 2 {
		if _, ok := t.unfinished[s]; ok {
			streams = append(streams, s)
		}
	}
	switch n := t.random.IntN(20); {
	case n == 0 && len(streams) < 50 || len(streams) == 0:
		t.WriteHeaders(http2.HeadersFrameParam{StreamID: t.next, BlockFragment: headersOf("/test.Drain/Drain"), EndHeaders: true})
		t.unfinished[t.next] = 0
		t.next += 2
	case n == 1:
		t.WriteRSTStream(streams[0], http2.ErrCodeCancel)
		t.end(streams[0])
	default:
		t.data(streams[t.random.IntN(len(streams))])
	}
}

func (t *talker) end(stream uint32) {
	delete(t.unfinished, stream)
	delete(t.rest, stream)
}

// data sends some bytes of a stream: the rest of a message, a whole one, the begin of one.
func (t *talker) data(stream uint32) {
	var payload []byte
	for range t.random.IntN(4) {
		if t.unfinished[stream] == 0 {
			size := t.random.IntN(2000)
			payload = binary.BigEndian.AppendUint32(append(payload, 0), uint32(size))
			t.unfinished[stream], t.rest[stream] = prefixSize, size
		}
		n := min(t.rest[stream], t.random.IntN(3000))
		payload = append(payload, make([]byte, n)...)
		t.unfinished[stream] += n
		if t.rest[stream] -= n; t.rest[stream] > 0 {
			break
		}
		t.unfinished[stream] = 0
	}
	end := t.random.IntN(20) == 0
	if t.random.IntN(3) == 0 {
		t.WriteDataPadded(stream, end, payload, make([]byte, t.random.IntN(200)))
	} else {
		t.WriteData(stream, end, payload)
	}
	if end {
		t.end(stream)
	}
}

func (t *talker) size() (size int64) {
	for _, n := range t.unfinished {
		size += int64(n)
	}
	return size
}

// headersOf are those with which a client calls a method.
func headersOf(method string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range fields(method) {
		e.WriteField(f)
	}
	return b.Bytes()
}

// drainService has a method that takes messages until there are no more.
var drainService = &grpc.ServiceDesc{
	ServiceName: "test.Drain", HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{{StreamName: "Drain", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		var b []byte
		for {
			if err := s.RecvMsg(&b); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	}}},
}

// noted is an Observer that remembers what it was told last.
type noted struct {
	mu   sync.Mutex
	last Streams
}

func (n *noted) Streams(now Streams) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = now
}

func (n *noted) Took(_, _ bool) {}

func (n *noted) now() Streams {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

func TestObserverKnowsStreamsAndUnfinishedMessages(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			seen := &noted{}
			cfg := testConfig(new(countingPool))
			cfg.MaxStreams = 100
			cfg.Observe = func(credentials.AuthInfo) Observer { return seen }
			s := New(cfg)
			s.RegisterService(drainService, nil)
			client, server := net.Pipe()
			s.begin(server)
			go io.Copy(io.Discard, client)
			said := newTalker(random)
			for range 200 {
				said.step()
				for b := said.out.Next(1 << 20); len(b) > 0; {
					n := min(len(b), 1+random.IntN(2000))
					client.Write(b[:n])
					b = b[n:]
				}
				synctest.Wait()
				now := seen.now()
				if want := said.size(); now.Unfinished != want || now.More != len(said.unfinished) || now.Open != now.More {
					t.Fatalf("seed %d: %+v, want %d streams, %d bytes", seed, now, len(said.unfinished), want)
				}
			}
			client.Close()
			synctest.Wait()
			if now := seen.now(); now != (Streams{}) {
				t.Errorf("seed %d: %+v is left", seed, now)
			}
			s.Stop()
		})
	}
}

// A client that acts as soon as it has the end of a stream finds that the stream counts no more.
func TestTheEndOfAStreamIsToldBeforeItIsSent(t *testing.T) {
	seen := &noted{}
	cfg := testConfig(new(countingPool))
	cfg.Observe = func(credentials.AuthInfo) Observer { return seen }
	s := New(cfg)
	s.RegisterService(drainService, nil)
	defer s.Stop()
	client, server := net.Pipe()
	s.begin(server)
	fr := http2.NewFramer(client, client)
	go func() {
		client.Write([]byte(http2.ClientPreface))
		fr.WriteSettings()
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersOf("/test.Drain/Drain"), EndHeaders: true, EndStream: true})
	}()
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := f.(*http2.HeadersFrame); ok && h.StreamEnded() {
			if now := seen.now(); now.Open != 0 {
				t.Errorf("%+v", now)
			}
			return
		}
	}
}

// A unary call is called at its end. Until then all that it has brought counts.
func TestARequestCountsUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &noted{}
		c := serve(t, &service{}, func(cfg *Config) { cfg.Observe = func(credentials.AuthInfo) Observer { return seen } }).dial(t)
		id := c.begin(call, false)
		c.send(id, []byte("\x00\x00\x00\x00\x03abc"), false)
		synctest.Wait()
		if now, want := seen.now(), (Streams{Open: 1, More: 1, Empty: 1, Unfinished: prefixSize + 3}); now != want {
			t.Errorf("%+v, want %+v", now, want)
		}
		c.WriteData(id, true, nil)
		synctest.Wait()
		if now := seen.now(); now != (Streams{}) {
			t.Errorf("%+v in the end", now)
		}
	})
}

// A handler that runs is one of a stream of which the Observer knows, though the reader is not at the end of
// what has come.
func TestAStreamIsToldBeforeItsHandlerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen, ran := &noted{}, make(chan Streams, 1)
		requests := 0
		s := serve(t, &service{call: func(context.Context, []byte) ([]byte, error) {
			ran <- seen.now()
			return nil, nil
		}}, func(cfg *Config) {
			cfg.Observe = func(credentials.AuthInfo) Observer { return seen }
			cfg.Values = func(ctx context.Context) context.Context {
				if requests++; requests == 2 { // by then the first one has come
					if now := <-ran; now.Open != 1 {
						t.Errorf("%+v while a handler runs", now)
					}
				}
				return ctx
			}
		})
		c := s.dial(t)
		var out bytes.Buffer
		fr := http2.NewFramer(&out, nil)
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(fields(call)), EndHeaders: true})
		fr.WriteData(1, true, make([]byte, prefixSize))
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: c.encode(fields("/none")), EndHeaders: true, EndStream: true})
		c.conn.Write(out.Bytes())
		synctest.Wait()
		if requests != 2 {
			t.Errorf("%d requests", requests)
		}
	})
}
