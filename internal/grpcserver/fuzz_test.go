package grpcserver

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/credentials"
)

// memoryConn is a connection whose client has sent all that it ever sends. What it is told is dropped.
type memoryConn struct {
	in     *bytes.Reader
	closed sync.Once
	done   chan struct{}
}

func (c *memoryConn) Read(b []byte) (int, error) { return c.in.Read(b) }
func (c *memoryConn) Write(b []byte) (int, error) {
	select {
	case <-c.done:
		return 0, io.ErrClosedPipe
	default:
		return len(b), nil
	}
}
func (c *memoryConn) Close() error                     { c.closed.Do(func() { close(c.done) }); return nil }
func (c *memoryConn) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzConnection serves a client that sends anything after the preface. The connection must end with the
// client, leave no stream and no buffer, and take memory in proportion to what came.
func FuzzConnection(f *testing.F) {
	for _, seed := range fuzzSeeds() {
		f.Add(seed)
	}
	pool := new(countingPool)
	s := New(Config{
		Codec: bytesCodec{pool}, HandshakeTimeout: time.Second,
		Handshake:  func(nc net.Conn) (net.Conn, credentials.AuthInfo, error) { return nc, nil, nil },
		MaxStreams: 4, MaxHeaderBytes: 1 << 10, MaxMessageBytes: 100_000, StreamWindow: 65535, ConnWindow: 65535,
		MinPing: time.Second, Idle: time.Hour, PingTimeout: time.Second,
	})
	s.RegisterService((&service{}).desc(), nil)
	f.Fuzz(func(t *testing.T, in []byte) {
		var before, after runtime.MemStats
		const every = 64
		measure := len(in)%every == 0 // it stops the world
		if measure {
			runtime.ReadMemStats(&before)
		}
		nc := &memoryConn{in: bytes.NewReader(append([]byte(http2.ClientPreface), in...)), done: make(chan struct{})}
		c := newConn(s, nc, nil)
		c.serve()
		<-nc.done
		for c.running.Load() > 0 {
			runtime.Gosched()
		}
		if measure {
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > uint64(1<<20+200*len(in)) {
				t.Errorf("%d bytes take %d", len(in), n)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.streams) > 0 || len(c.control) > maxControl+100 || len(c.in.buf) > maxReadBuffer || len(c.headers.known) > maxKnown || pool.lent.Load() > 0 {
			t.Errorf("%d streams, %d bytes of control, %d of frames, %d requests, %d buffers", len(c.streams), len(c.control), len(c.in.buf), len(c.headers.known), pool.lent.Load())
		}
	})
}

// fuzzSeeds are clients that do what there is to do.
func fuzzSeeds() (all [][]byte) {
	var b, block bytes.Buffer
	w := http2.NewFramer(&b, nil)
	encoder := hpack.NewEncoder(&block)
	headers := func(id uint32, path string, ended bool, more ...string) {
		block.Reset()
		for _, f := range fields(path, more...) {
			encoder.WriteField(f)
		}
		w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: ended})
	}
	keep := func() {
		all = append(all, bytes.Clone(b.Bytes()))
		b.Reset()
		block.Reset()
		encoder = hpack.NewEncoder(&block)
	}
	w.WriteSettings(initialWindowOf(100), http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
	headers(1, call, false, "grpc-timeout", "1n")
	w.WriteDataPadded(1, true, prefixed([]byte("x")), make([]byte, 3))
	headers(3, call, false, "grpc-timeout", "5S", "content-length", "6")
	w.WriteData(3, true, prefixed([]byte("x")))
	w.WriteWindowUpdate(3, 5)
	w.WriteRSTStream(3, http2.ErrCodeCancel)
	keep()
	w.WriteSettings()
	headers(1, talk, false, "x-bin", "AAA")
	w.WriteData(1, false, prefixed(make([]byte, 300), nil)[:200])
	w.WriteSettings(initialWindowOf(1), initialWindowOf(1<<20))
	w.WriteSettingsAck()
	w.WritePing(false, [8]byte{1})
	w.WriteWindowUpdate(0, 1<<20)
	headers(1, "x", true)
	headers(3, "/none", true)
	headers(5, talk, true, ":method", "GET")
	w.WriteGoAway(0, 0, nil)
	keep()
	w.WriteSettings()
	w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: appendField(nil, ":path", call), PadLength: 3, Priority: http2.PriorityParam{StreamDep: 1}})
	w.WriteContinuation(1, true, appendField(nil, "a", "b"))
	w.WritePriority(3, http2.PriorityParam{StreamDep: 3})
	w.WriteRawFrame(99, 1, 1, []byte("unknown"))
	keep()
	return all
}
