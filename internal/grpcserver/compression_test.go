package grpcserver

import (
	"bytes"
	"compress/gzip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/mem"
)

// zip is a message as gRPC puts it into DATA when it is compressed.
func zip(m []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(m)
	w.Close()
	return compressed(b.Bytes())
}

// compressed is what claims to be compressed.
func compressed(b []byte) []byte {
	m := prefixed(b)
	m[0] = 1
	return m
}

// A client that compresses is answered in plain, whether all of its messages are compressed or some, and
// however they come.
func TestMessagesMayBeCompressed(t *testing.T) {
	for _, size := range []int{0, 1, 1000, 1 << 20, 4 << 20} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, &service{})
			c := s.dial(t)
			c.widen(0, 1<<30)
			m := pattern(size, size)
			unary, stream := c.begin(call, false, "grpc-encoding", "gzip"), c.begin(talk, false, "grpc-encoding", "gzip")
			for _, id := range []uint32{unary, stream} {
				c.widen(id, 1<<30)
			}
			c.flow(s, unary, zip(m), true)
			c.want(unary, m)
			c.flow(s, stream, slices.Concat(zip([]byte("a")), prefixed(m), zip(m), zip(m)), true)
			c.want(stream, []byte("a"), m, m, m)
			c.wantOpen()
			s.conn(t).wantQuiet(t)
		})
	}
}

// A unary call whose message comes bit by bit is not answered before all of it has come.
func TestACompressedMessageMayComeInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{}).dial(t)
		id := c.begin(call, false, "grpc-encoding", "gzip")
		for _, b := range zip([]byte("message")) {
			c.WriteData(id, false, []byte{b})
			if a := c.heard(id); len(a.blocks) > 0 {
				t.Fatalf("answered: %v", a.blocks)
			}
		}
		c.WriteData(id, true, nil)
		c.want(id, []byte("message"))
	})
}

// What a message would become is bounded like one that is not compressed, and no more of it is made.
func TestWhatIsDecompressedIsBounded(t *testing.T) {
	const most = 10_000
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{}, func(cfg *Config) { cfg.MaxMessageBytes = most }).dial(t)
		for _, path := range []string{call, talk} {
			for _, size := range []int{most, most + 1, 1_000 * most / 2} { // the last one is compressed to half of what is allowed
				id := c.begin(path, false, "grpc-encoding", "gzip")
				c.send(id, zip(make([]byte, size)), true)
				if size <= most {
					c.want(id, make([]byte, size))
				} else if a := c.heard(id); a.status() != "8" || a.text() != "grpc: received message after decompression larger than max 10000" {
					t.Errorf("%s, %d bytes: %v", path, size, a.blocks)
				}
			}
		}
		c.wantOpen()
	})
}

// Compressed messages that are damaged are refused, and those behind them are read on other streams.
func TestDamagedCompressionIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{}).dial(t)
		whole := zip(pattern(1000, 1))[prefixSize:]
		for cut := range len(whole) {
			for _, damaged := range [][]byte{whole[:cut], flipped(whole, cut)} {
				id := c.begin(call, false, "grpc-encoding", "gzip")
				c.send(id, compressed(damaged), true)
				if a := c.heard(id); a.status() != "13" && (a.status() != "0" || cut >= 10) { // some of the header says nothing
					t.Fatalf("%d of %d bytes: %v", cut, len(whole), a.blocks)
				}
			}
		}
		c.want(c.call([]byte("a")), []byte("a"))
		c.wantOpen()
	})
}

// flipped is b with one byte changed.
func flipped(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 0xff
	return b
}

// slowCodec takes messages when it is allowed to.
type slowCodec struct {
	bytesCodec
	busy, most *atomic.Int64
	allowed    chan struct{}
}

func (c slowCodec) Unmarshal(data mem.BufferSlice, v any) error {
	c.most.Store(max(c.most.Load(), c.busy.Add(1)))
	defer c.busy.Add(-1)
	<-c.allowed
	return c.bytesCodec.Unmarshal(data, v)
}

// However many calls come with compressed messages, few are being decompressed. Others do not wait for them.
func TestDecompressionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codec := slowCodec{busy: new(atomic.Int64), most: new(atomic.Int64), allowed: make(chan struct{})}
		s := serve(t, &service{}, func(cfg *Config) {
			codec.bytesCodec = cfg.Codec.(bytesCodec)
			cfg.Codec = codec
		})
		c := s.dial(t)
		var ids []uint32
		for range s.cfg.MaxStreams - 1 {
			id := c.begin(call, false, "grpc-encoding", "gzip")
			c.send(id, zip([]byte("a")), true)
			ids = append(ids, id)
		}
		synctest.Wait()
		if n := codec.busy.Load(); n != maxDecompressing {
			t.Errorf("%d are being decompressed", n)
		}
		plain := c.call([]byte("b"))
		synctest.Wait()
		if n := codec.busy.Load(); n != maxDecompressing+1 {
			t.Errorf("%d are being read", n)
		}
		close(codec.allowed)
		for _, id := range ids {
			c.want(id, []byte("a"))
		}
		c.want(plain, []byte("b"))
		if n := codec.most.Load(); n > maxDecompressing+1 {
			t.Errorf("%d were read at once", n)
		}
	})
}
