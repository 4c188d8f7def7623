package overgrpc_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/internal/check/naive"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/overgrpc"
	"balsa.example/kv"
	"balsa.example/rsm"
	"balsa.example/state"
)

// BenchmarkCall is what a call takes beside the replica, on a connection with 100 calls at a time. The
// client writes frames that were encoded before, and takes little of the time. A keep-alive is a stream
// of one request, which the client cancels when it has the answer, as KeepAliveOnce does.
//
//	go test -run - -bench Call -cpu 1 -benchmem ./internal/frontend/etcd/overgrpc
func BenchmarkCall(b *testing.B) {
	b.Run("put", func(b *testing.B) {
		benchmarkCall(b, "/etcdserverpb.KV/Put", &pb.PutRequest{Key: make([]byte, 16), Value: make([]byte, 256)})
	})
	b.Run("get", func(b *testing.B) {
		benchmarkCall(b, "/etcdserverpb.KV/Range", &pb.RangeRequest{Key: make([]byte, 16)})
	})
	b.Run("txn", func(b *testing.B) {
		key := make([]byte, 16)
		benchmarkCall(b, "/etcdserverpb.KV/Txn", &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: key, Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_Version{}}},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: make([]byte, 256)}}}},
		})
	})
	b.Run("keepalive", func(b *testing.B) {
		benchmarkCall(b, keepAliveMethod, &pb.LeaseKeepAliveRequest{ID: 1})
	})
}

const (
	benchmarkCalls  = 100 // at a time
	keepAliveMethod = "/etcdserverpb.Lease/LeaseKeepAlive"
)

func benchmarkCall(b *testing.B, method string, req proto.Message) {
	n := newLoop(b)
	entrance := etcd.NewEntrance(nil)
	port := clients.New(clients.Config{Codec: overgrpc.Codec(api.Codec()), Logger: slog.New(slog.DiscardHandler)})
	face := overgrpc.New(entrance)
	face.Register(port.Within(clients.Bounds{MessageBytes: 1 << 20, Expect: etcd.Expect}), etcd.Methods)
	port.AddValues(face.WithCaller)
	entrance.Open(etcd.New(etcd.Config{Node: n, ClusterID: 7, MemberID: 8, ElectionTimeout: time.Second}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go port.Serve(l)
	b.Cleanup(port.Stop)
	c := dialFrames(b, l.Addr().String(), method, req)
	c.cancels = method == keepAliveMethod
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime()
	begun := 0
	for ended := 0; ended < b.N; {
		more := min(b.N, ended+benchmarkCalls) - begun
		c.begin(b, more)
		begun += more
		ended += c.await(b)
	}
	b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
}

// loop is a node that executes commands in a goroutine of its own, as a replica does.
type loop struct {
	node
	work chan func()
}

// put is what a transaction of one put gives.
var put = &kv.TxnResult{Succeeded: true, Revision: 5, Responses: []kv.OpResult{{Put: &kv.PutResult{Revision: 5}}}}

func newLoop(b *testing.B) *loop {
	n := &loop{node: node{store: store{machine: naive.New(naive.Limits{})}, leader: 1}, work: make(chan func(), benchmarkCalls)}
	go func() {
		for f := range n.work {
			f()
		}
	}()
	b.Cleanup(func() { close(n.work) })
	return n
}

func (n *loop) Store() etcd.Store { return page{n.node.store} }

// page is a store of which each range has one key.
type page struct{ store }

func (page) EncodeRange(op kv.RangeOp, b []byte, add func([]byte, *kv.Entry) []byte) ([]byte, kv.RangeResult, error) {
	return add(b, &kv.Entry{Key: op.From, Value: make([]byte, 256), ModRevision: 5}), kv.RangeResult{Count: 1, Revision: 5}, nil
}

func (n *loop) KeepAlive(_ int64, done func(int64, error)) { n.work <- func() { done(3e9, nil) } }

func (n *loop) Submit(ctx context.Context, late <-chan struct{}, c state.Command) (state.Result, rsm.EntryID, error) {
	r := state.Result{Result: kv.Result{Revision: 5}}
	if c.More != nil {
		r.Txn = put
	}
	return r, rsm.EntryID{}, n.Read(ctx, late)
}

func (n *loop) Read(ctx context.Context, late <-chan struct{}) error {
	done := make(chan struct{}, 1)
	n.work <- func() { done <- struct{}{} }
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late:
		return context.DeadlineExceeded
	}
}

// frames is a connection of a client that knows no more of gRPC than a benchmark needs.
type frames struct {
	conn  net.Conn
	in    *bufio.Reader
	next  uint32 // stream
	first []byte // the frames of the first call, which fill the server's table of headers
	later []byte // those of all others
	out   []byte
	// cancels tells that a call ends with the first message of the server, and that out has the frame
	// that cancels it.
	cancels bool
}

func dialFrames(b *testing.B, address, method string, req proto.Message) *frames {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	c := &frames{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), next: 1}
	var begin bytes.Buffer
	begin.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&begin, nil)
	if err := f.WriteSettings(); err != nil {
		b.Fatal(err)
	}
	if err := f.WriteWindowUpdate(0, 1<<30); err != nil {
		b.Fatal(err)
	}
	if err := f.WriteSettingsAck(); err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Write(begin.Bytes()); err != nil {
		b.Fatal(err)
	}
	var block bytes.Buffer
	headers := hpack.NewEncoder(&block)
	c.first = callFrames(b, &block, headers, method, req)
	c.later = callFrames(b, &block, headers, method, req)
	return c
}

// callFrames returns the frames of a call on stream 0.
func callFrames(b *testing.B, block *bytes.Buffer, headers *hpack.Encoder, method string, req proto.Message) []byte {
	block.Reset()
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "127.0.0.1:2379"},
		{"content-type", "application/grpc"}, {"user-agent", "grpc-go/1.85.0"}, {"te", "trailers"}, {"client-api-version", "3.7.0"},
	} {
		if err := headers.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			b.Fatal(err)
		}
	}
	data, err := proto.Marshal(req)
	if err != nil {
		b.Fatal(err)
	}
	out := frameHeader(nil, http2.FrameHeaders, http2.FlagHeadersEndHeaders, block.Len())
	out = append(out, block.Bytes()...)
	flags := http2.FlagDataEndStream
	if method == keepAliveMethod {
		flags = 0
	}
	out = frameHeader(out, http2.FrameData, flags, 5+len(data))
	out = append(out, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
	return append(out, data...)
}

func frameHeader(dst []byte, kind http2.FrameType, flags http2.Flags, n int) []byte {
	return append(dst, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags), 0, 0, 0, 0)
}

// begin begins n calls.
func (c *frames) begin(b *testing.B, n int) {
	for range n {
		call := c.later
		if c.next == 1 {
			call = c.first
		}
		for rest := call; len(rest) > 0; {
			frame := rest[:9+(int(rest[0])<<16|int(rest[1])<<8|int(rest[2]))]
			rest = rest[len(frame):]
			at := len(c.out)
			c.out = append(c.out, frame...)
			binary.BigEndian.PutUint32(c.out[at+5:], c.next)
		}
		c.next += 2
	}
	if _, err := c.conn.Write(c.out); err != nil {
		b.Fatal(err)
	}
	c.out = c.out[:0]
}

// await returns how many calls have ended, of which it waits for one.
func (c *frames) await(b *testing.B) (ended int) {
	for ended == 0 || c.in.Buffered() >= 9 {
		h, err := c.in.Peek(9)
		if err != nil {
			b.Fatal(err)
		}
		n := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
		switch kind, flags := http2.FrameType(h[3]), http2.Flags(h[4]); {
		case kind == http2.FrameHeaders && flags.Has(http2.FlagHeadersEndStream) && !c.cancels:
			ended++
		case kind == http2.FrameData && c.cancels:
			ended++
			c.out = frameHeader(c.out, http2.FrameRSTStream, 0, 4)
			copy(c.out[len(c.out)-4:], h[5:9])
			c.out = binary.BigEndian.AppendUint32(c.out, uint32(http2.ErrCodeCancel))
		case kind == http2.FrameRSTStream || kind == http2.FrameGoAway:
			b.Fatalf("the server ended it: %s", kind)
		}
		if _, err := c.in.Discard(9 + n); err != nil {
			b.Fatal(err)
		}
	}
	return ended
}
