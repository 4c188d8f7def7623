package native

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
)

// A client asks on many streams, says that it asks no more, and lets nothing come back: it
// has closed its window. What gRPC keeps for it counts, and it has its time.
func TestWhatAClientDoesNotTakeCounts(t *testing.T) {
	const value, streams = 1 << 20, 50
	for key, least := range map[string]int64{"large": clients.MaxClientBytes - 4*value, "small": 0} {
		t.Run(key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newNetwork(t)
				defer c.close()
				f := c.leader()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go f.cfg.Port.WatchClients(ctx)
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
				if n := f.figures().Streams; n != streams {
					t.Errorf("%d streams are counted, of %d", n, streams)
				}
				if n := f.figures().RequestBytes; n < least || n > clients.MaxClientBytes {
					t.Errorf("%d bytes are counted, want at least %d", n, least)
				}
				if d, want := (<-ended).Sub(began), defaults.Stall; d < want || d > want+3*time.Second {
					t.Errorf("the connection was closed after %v, want %v", d, want)
				}
				synctest.Wait()
				if n, b := f.figures().Streams, f.figures().RequestBytes; n != 0 || b != 0 {
					t.Errorf("%d streams and %d bytes are counted in the end", n, b)
				}
			})
		})
	}
}

// headers are those with which a client opens a stream.
func headers() []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/balsa.v1.KV/Exchange"}, {":authority", "a"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return b.Bytes()
}
