package native

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"

	"balsa.example/api"
)

// A client asks on many streams, says that it asks no more, and lets nothing come back: it
// has closed its window. What gRPC keeps for it counts, and it has its time.
func TestWhatAClientDoesNotTakeCounts(t *testing.T) {
	const value, streams = 1 << 20, 50
	for key, least := range map[string]int64{"large": maxClientBytes - 4*value, "small": 0} {
		t.Run(key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newNetwork(t)
				defer c.close()
				f := c.leader()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go f.clients.watch(ctx)
				ck := c.clerk()
				for key, size := range map[string]int{"large": value, "small": 1} {
					if _, err := ck.Set(ctx, key, make([]byte, size)); err != nil {
						t.Fatal(err)
					}
				}
				ck.Close()
				synctest.Wait()
				conn, err := c.listeners[f.cfg.Hello.NodeId-1].DialContext(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.Write([]byte(http2.ClientPreface))
				fr := http2.NewFramer(conn, conn)
				fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
				writing := make(chan struct{}, 1) // a Framer writes one frame at a time
				write := func(frame func()) {
					writing <- struct{}{}
					defer func() { <-writing }()
					frame()
				}
				began, ended := time.Now(), make(chan time.Time, 1)
				go func() {
					for {
						frame, err := fr.ReadFrame()
						if err != nil {
							ended <- time.Now()
							return
						}
						if ping, ok := frame.(*http2.PingFrame); ok && !ping.IsAck() {
							go write(func() { fr.WritePing(true, ping.Data) })
						}
					}
				}()
				ask, err := proto.Marshal(&api.RequestBatch{Requests: []*api.Request{
					{Id: 1, Kind: api.Request_GET, Key: []byte(key), Consistency: api.Request_LOCAL},
				}})
				if err != nil {
					t.Fatal(err)
				}
				message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(ask))), ask...)
				for s := uint32(1); s < 2*streams; s += 2 {
					write(func() {
						fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: headers(), EndHeaders: true})
						fr.WriteData(s, true, message)
					})
				}
				synctest.Wait()
				if n := f.clients.streams.items.Load(); n != streams {
					t.Errorf("%d streams are counted, of %d", n, streams)
				}
				if n := f.clients.requests.bytes.Load(); n < least || n > maxClientBytes {
					t.Errorf("%d bytes are counted, want at least %d", n, least)
				}
				if d, want := (<-ended).Sub(began), f.clients.limits.Stall; d < want || d > want+3*clientCheck {
					t.Errorf("the connection was closed after %v, want %v", d, want)
				}
				synctest.Wait()
				if n, b := f.clients.streams.items.Load(), f.clients.requests.bytes.Load(); n != 0 || b != 0 {
					t.Errorf("%d streams and %d bytes are counted in the end", n, b)
				}
			})
		})
	}
}

// trailers is a connection whose other side acts on the end of a stream as soon as it has it.
type eagerConn struct {
	chunkedConn
	act func()
}

func (c *eagerConn) Write(b []byte) (int, error) { c.act(); return len(b), nil }

// A client with as many streams as it may have begins another when one has ended.
func TestAStreamHasEndedWhenTheClientKnows(t *testing.T) {
	c := quietClients()
	conn := &eagerConn{}
	cl := c.add(conn, nil, "a")
	in := newTrackedConn(conn, cl)
	cl.open.setOpen(c.limits.Streams)
	for range c.limits.Streams {
		cl.open.enter()
	}
	for s := range c.limits.Streams {
		in.streams[uint32(2*s+1)] = new(message)
	}
	conn.act = func() {
		if !cl.open.enter() {
			t.Error("the stream in its place was refused")
		}
	}
	cl.open.leave()
	http2.NewFramer(in, nil).WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(), EndHeaders: true, EndStream: true})
}
