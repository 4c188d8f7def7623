package clients

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

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

// Connections begin messages of 4 MiB on as many streams as they may have, and finish none. Of each connection there is
// one largest message at most, since large messages take turns, and of all the bound's worth: beyond it connections
// are closed. Others are served meanwhile.
func TestUnfinishedMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, conns, streams, size = 8 << 20, 10, 4, 2 << 20
		ctx, cancel := context.WithCancel(t.Context())
		p := open(ctx, Limits{UnfinishedBytes: bound})
		defer p.close()
		defer cancel()
		other, end := p.client(t)
		defer end()
		most := int64(0)
		for range conns {
			conn := p.dial(t)
			defer conn.Close()
			go io.Copy(io.Discard, conn)
			_, err := conn.Write([]byte(http2.ClientPreface))
			fr := http2.NewFramer(conn, nil)
			fr.WriteSettings()
			for s := uint32(1); s < 2*streams && err == nil; s += 2 {
				fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: headers(), EndHeaders: true})
				prefix := binary.BigEndian.AppendUint32([]byte{0}, 4<<20-5)
				for n := 0; n < size && err == nil; n += len(prefix) {
					err = fr.WriteData(s, false, prefix)
					prefix = make([]byte, 16<<10)
					time.Sleep(time.Millisecond) // for the window to be opened
					most = max(most, p.unfinished.Load())
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			large := &healthpb.HealthCheckRequest{Service: strings.Repeat("k", 1<<20)}
			if _, err := other.Check(ctx, large); status.Code(err) != codes.NotFound {
				t.Errorf("another client's call: %v", err)
			}
			cancel()
		}
		if slack := int64(64 << 10); most > bound+slack || most < bound/2 {
			t.Errorf("up to %d bytes were kept, the bound is %d", most, bound)
		}
		if n := p.surplus.unfinished.Count(); n < conns-bound/size || n > conns {
			t.Errorf("%d connections were closed", n)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for cl := range p.all {
			if n := cl.unfinished.Load(); n > 3<<20 {
				t.Errorf("%d bytes of one connection", n)
			}
		}
	})
}

// A client sends whole requests, and keeps the ends of its calls back, before which no handler takes them. Those that
// need no turn may be any number.
func TestRequestsWithoutAnEndAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, size = 8 << 20, 48 << 10
		ctx, cancel := context.WithCancel(t.Context())
		p := open(ctx, Limits{UnfinishedBytes: bound})
		defer p.close()
		defer cancel()
		conn := p.dial(t)
		defer conn.Close()
		go io.Copy(io.Discard, conn)
		_, err := conn.Write([]byte(http2.ClientPreface))
		fr := http2.NewFramer(conn, nil)
		fr.WriteSettings()
		whole := 0
		for s := uint32(1); whole < 1000 && err == nil; s += 2 {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: headersOf(healthpb.Health_Check_FullMethodName), EndHeaders: true})
			part := binary.BigEndian.AppendUint32([]byte{0}, size-prefixBytes)
			for n := 0; n < size && err == nil; {
				err = fr.WriteData(s, false, part)
				n += len(part)
				part = make([]byte, min(16<<10, size-n))
				synctest.Wait()
			}
			whole++
		}
		if err == nil || whole < bound/(size+beginCost) || whole > bound/size+1 {
			t.Errorf("%d requests of %d bytes, then %v", whole, size, err)
		}
	})
}

// Many clients send the end of a call behind its request, and some of them only where the window allows more.
func TestTheEndOfACallMayComeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := open(ctx, Limits{})
		defer p.close()
		defer cancel()
		conn := p.connect(t)
		defer conn.Close()
		for _, size := range []int{1000, StreamWindow - 10, StreamWindow, StreamWindow + 1000, 1 << 20, DefaultMessageBytes - 10} {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, healthpb.Health_Check_FullMethodName)
			if err != nil {
				t.Fatal(err)
			}
			err = s.SendMsg(&healthpb.HealthCheckRequest{Service: strings.Repeat("k", size)})
			if err := errors.Join(err, s.CloseSend()); err != nil {
				t.Error(err)
			}
			if err := s.RecvMsg(new(healthpb.HealthCheckResponse)); status.Code(err) != codes.NotFound {
				t.Errorf("a request of %d bytes: %v", size, err)
			}
			cancel()
		}
	})
}

// prefixBytes is what gRPC puts before a message.
const prefixBytes = 5

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
		const most = 2 * DefaultMessageBytes / beginCost
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
