package clients

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// cutConn gives out what it holds in pieces of any size.
type chunkedConn struct {
	net.Conn
	data   []byte
	random *rand.Rand
}

func (c *chunkedConn) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.data[:1+c.random.IntN(min(len(c.data), 1+c.random.IntN(300)))])
	c.data = c.data[n:]
	return n, nil
}

func (c *chunkedConn) Write(b []byte) (int, error) { return len(b), nil }
func (c *chunkedConn) Close() error                { return nil }

// talk writes what a client may send, and knows how much of messages is unfinished.
type frameWriter struct {
	*http2.Framer
	out        bytes.Buffer
	random     *rand.Rand
	unfinished map[uint32]int // bytes that have been sent of the stream's message
	rest       map[uint32]int // bytes of it to come
	next       uint32
}

func newFrameWriter(random *rand.Rand) *frameWriter {
	t := &frameWriter{random: random, unfinished: map[uint32]int{}, rest: map[uint32]int{}, next: 1}
	t.out.WriteString(http2.ClientPreface)
	t.Framer = http2.NewFramer(&t.out, nil)
	t.WriteSettings()
	return t
}

func headers() []byte { return headersOf(healthpb.Health_Watch_FullMethodName) }

// headersOf are those with which a client calls a method.
func headersOf(method string) []byte { return headersAs("POST", method, "application/grpc") }

func headersAs(method, path, content string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{
		{":method", method}, {":scheme", "http"}, {":path", path}, {":authority", "a"},
		{"content-type", content}, {"te", "trailers"},
	} {
		e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return b.Bytes()
}

// step sends one frame.
func (t *frameWriter) step() {
	streams := make([]uint32, 0, len(t.unfinished))
	for s := uint32(1); s < t.next; s += 2 {
		if _, ok := t.unfinished[s]; ok {
			streams = append(streams, s)
		}
	}
	switch n := t.random.IntN(20); {
	case n == 0 && len(streams) < 50 || len(streams) == 0:
		t.WriteHeaders(http2.HeadersFrameParam{StreamID: t.next, BlockFragment: headers(), EndHeaders: true})
		t.unfinished[t.next] = 0
		t.next += 2
	case n == 1:
		t.WritePing(false, [8]byte{1})
	case n == 2:
		s := streams[t.random.IntN(len(streams))]
		t.WriteRSTStream(s, http2.ErrCodeCancel)
		delete(t.unfinished, s)
		delete(t.rest, s)
	default:
		t.data(streams[t.random.IntN(len(streams))])
	}
}

// data sends some bytes of a stream: the rest of a message, a whole one, the begin of one.
func (t *frameWriter) data(s uint32) {
	var payload []byte
	for range t.random.IntN(4) {
		if t.unfinished[s] == 0 {
			size := t.random.IntN(2000)
			payload = binary.BigEndian.AppendUint32(append(payload, 0), uint32(size))
			t.unfinished[s], t.rest[s] = prefixSize, size
		}
		n := min(t.rest[s], t.random.IntN(3000))
		payload = append(payload, make([]byte, n)...)
		t.unfinished[s] += n
		if t.rest[s] -= n; t.rest[s] == 0 {
			t.unfinished[s] = 0
		} else {
			break
		}
	}
	end := t.random.IntN(20) == 0
	if t.random.IntN(3) == 0 {
		t.WriteDataPadded(s, end, payload, make([]byte, t.random.IntN(200)))
	} else {
		t.WriteData(s, end, payload)
	}
	if end {
		delete(t.unfinished, s)
		delete(t.rest, s)
	}
}

func (t *frameWriter) size() (size int64) {
	for _, n := range t.unfinished {
		size += int64(n)
	}
	return size
}

func TestTrackedConnCountsUnfinishedMessages(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		p := quietPort(Limits{})
		said := newFrameWriter(random)
		conn := &chunkedConn{random: random}
		in := newTrackedConn(conn, p.add(conn, nil, "a"))
		for range 300 {
			said.step()
			conn.data = bytes.Clone(said.out.Bytes())
			said.out.Reset()
			if _, err := io.Copy(io.Discard, in); err != nil {
				t.Fatal(err)
			}
			if want, have := said.size(), p.unfinished.Load(); have != want {
				t.Fatalf("seed %d: %d bytes are counted, of %d", seed, have, want)
			}
		}
		bringing := 0
		for _, m := range in.streams {
			if !m.last {
				bringing++
			}
		}
		if bringing > len(said.unfinished) {
			t.Errorf("%d streams may bring more, of %d", bringing, len(said.unfinished))
		}
		// What the server ends is over, too.
		answer := http2.NewFramer(in, nil)
		for _, s := range slices.Collect(maps.Keys(in.streams)) {
			if s%4 == 1 {
				answer.WriteRSTStream(s, http2.ErrCodeNo)
			} else {
				answer.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: headers(), EndHeaders: true, EndStream: true})
			}
		}
		if n := p.unfinished.Load(); n != 0 || len(in.streams) != 0 {
			t.Errorf("seed %d: %d bytes, %d streams are left", seed, n, len(in.streams))
		}
		in.Close()
	}
}

func FuzzTrackedConn(f *testing.F) {
	f.Add([]byte(http2.ClientPreface+"\x00\x00\x06\x01\x00\x00\x00\x00\x01headers\x00\x00\x04\x00\x08\x00\x00\x00\x01\x02abc"), uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		p := quietPort(Limits{})
		conn := &chunkedConn{data: data, random: rand.New(rand.NewPCG(seed, 1))}
		in := newTrackedConn(conn, p.add(conn, nil, "a"))
		_, err := io.Copy(io.Discard, in)
		if err != nil && !errors.Is(err, errTooManyOpen) {
			t.Error(err)
		}
		if n := p.unfinished.Load(); n < 0 || n > int64(len(data)) || n != in.size {
			t.Errorf("%d bytes are counted of %d", n, len(data))
		}
		in.Close()
		if n := p.unfinished.Load(); n != 0 {
			t.Errorf("%d bytes are counted of a connection that is closed", n)
		}
	})
}

// A client begins messages of 4 MiB on as many streams as it may have, and finishes none.
// Its connection is closed when it has the bound's worth; others are served meanwhile.
func TestUnfinishedMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, messages, size = 8 << 20, 10, 2 << 20
		ctx, cancel := context.WithCancel(t.Context())
		p := open(ctx, Limits{UnfinishedBytes: bound})
		defer p.close()
		defer cancel()
		other, end := p.client(t)
		defer end()
		for range 3 {
			conn := p.dial(t)
			go io.Copy(io.Discard, conn)
			_, err := conn.Write([]byte(http2.ClientPreface))
			fr := http2.NewFramer(conn, nil)
			fr.WriteSettings()
			most := int64(0)
			for s := uint32(1); s < 2*messages && err == nil; s += 2 {
				fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: headers(), EndHeaders: true})
				prefix := binary.BigEndian.AppendUint32([]byte{0}, 4<<20-5)
				for n := 0; n < size && err == nil; n += len(prefix) {
					err = fr.WriteData(s, false, prefix)
					prefix = make([]byte, 16<<10)
					time.Sleep(time.Millisecond) // for the window to be opened
					most = max(most, p.unfinished.Load())
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				large := &healthpb.HealthCheckRequest{Service: strings.Repeat("k", 1<<20)}
				if _, err := other.Check(ctx, large); status.Code(err) != codes.NotFound {
					t.Errorf("another client's call: %v", err)
				}
				cancel()
			}
			if err == nil {
				t.Error("the connection is still open")
			}
			if slack := int64(64 << 10); most > bound+slack || most < bound/2 {
				t.Errorf("up to %d bytes were kept, the bound is %d", most, bound)
			}
			conn.Close()
			synctest.Wait()
		}
		if n := p.unfinished.Load(); n != 0 {
			t.Errorf("%d bytes are counted in the end", n)
		}
		if n := p.surplus.unfinished.Count(); n != 3 {
			t.Errorf("%d connections were closed", n)
		}
	})
}

// A client begins a message and says nothing more.
func TestAnUnfinishedMessageHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := open(ctx, Limits{})
		defer p.close()
		defer cancel()
		conn := p.dial(t)
		defer conn.Close()
		conn.Write([]byte(http2.ClientPreface))
		fr := http2.NewFramer(conn, conn)
		fr.WriteSettings()
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(), EndHeaders: true})
		fr.WriteData(1, false, []byte{0, 0, 0, 0, 9, 1, 2, 3})
		began := time.Now()
		for err := error(nil); err == nil; {
			var frame http2.Frame
			if frame, err = fr.ReadFrame(); err == nil {
				if ping, ok := frame.(*http2.PingFrame); ok && !ping.IsAck() {
					fr.WritePing(true, ping.Data)
				}
			}
		}
		if d, want := time.Since(began), p.limits.Stall; d < want || d > want+2*clientCheck {
			t.Errorf("the connection was closed after %v, want %v", d, want)
		}
		if n := p.unfinished.Load(); n != 0 {
			t.Errorf("%d bytes are counted in the end", n)
		}
	})
}

// A client sends headers that are too large, on streams or without an end.
func TestLargeHeadersAreRefused(t *testing.T) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.WriteField(hpack.HeaderField{Name: "x", Value: string(bytes.Repeat([]byte("a"), 2*maxHeaderBytes))})
	large := append(headers(), b.Bytes()...)
	for _, endless := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := open(ctx, Limits{})
			defer p.close()
			defer cancel()
			conn := p.dial(t)
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			conn.Write([]byte(http2.ClientPreface))
			fr := http2.NewFramer(conn, conn)
			fr.WriteSettings()
			go func() {
				fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: large[:1<<14], EndHeaders: false})
				fr.WriteContinuation(1, !endless, large[1<<14:])
				for err := error(nil); endless && err == nil; {
					err = fr.WriteContinuation(1, false, b.Bytes()[:1<<14])
				}
			}()
			var err error
			for err == nil {
				var frame http2.Frame
				frame, err = fr.ReadFrame()
				if _, ok := frame.(*http2.RSTStreamFrame); ok {
					break
				}
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("endless %t: the headers were taken", endless)
			}
			if n := p.streams.items.Load(); n != 0 {
				t.Errorf("endless %t: %d streams are served", endless, n)
			}
		})
	}
}

// One connection opens as many streams as it likes.
func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := open(ctx, Limits{Streams: 128})
		defer p.close()
		defer cancel()
		conn := p.dial(t)
		conn.Write([]byte(http2.ClientPreface))
		fr := http2.NewFramer(conn, nil)
		fr.WriteSettings()
		go io.Copy(io.Discard, conn)
		for s := uint32(1); s < 4000; s += 2 {
			if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: headers(), EndHeaders: true}); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
			if n, most := p.streams.items.Load(), int64(p.limits.Streams); n > most {
				t.Fatalf("%d streams, the bound is %d", n, most)
			}
		}
		if n := p.streams.items.Load(); n != int64(p.limits.Streams) {
			t.Errorf("%d streams", n)
		}
		conn.Close()
		synctest.Wait()
		if n := p.streams.items.Load(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

// Clients open streams for unary calls, and send nothing on them.
func TestStreamsWithoutAMessageAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 2 * MaxMessageBytes / beginCost
		ctx, cancel := context.WithCancel(t.Context())
		p := open(ctx, Limits{UnfinishedBytes: most * beginCost})
		defer p.close()
		defer cancel()
		for range 3 {
			conn := p.dial(t)
			_, err := conn.Write([]byte(http2.ClientPreface))
			fr := http2.NewFramer(conn, nil)
			fr.WriteSettings()
			go io.Copy(io.Discard, conn)
			n := 0
			for ; n < 2*most && err == nil; n++ {
				err = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: headersOf(healthpb.Health_Check_FullMethodName), EndHeaders: true})
				if n%100 == 0 {
					synctest.Wait()
				}
			}
			if err == nil || n < most {
				t.Errorf("%d streams, then %v", n, err)
			}
			synctest.Wait()
			if b := p.unbegun.Load(); b != 0 {
				t.Errorf("%d bytes are counted in the end", b)
			}
		}
		if n := p.surplus.unfinished.Count(); n != 3 {
			t.Errorf("%d connections were closed", n)
		}
	})
}
