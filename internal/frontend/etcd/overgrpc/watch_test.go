package overgrpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec
	"google.golang.org/grpc/metadata"

	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/overgrpc"
	"balsa.example/internal/machine"
	"balsa.example/internal/wake"
	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/state"
)

// watched is a server whose keys are watched, over the real machine.
type watched struct {
	machine    *state.Machine
	face       *etcd.Face
	grpc       *grpc.Server
	address    string
	leaderless chan struct{}
}

type lateHistory struct{ *watched }

func (h lateHistory) Scan(from uint64, yield func(uint64, []kv.Event) bool) error {
	return h.machine.Scan(from, yield)
}

func (h lateHistory) Previous(key string, revision uint64) (*kv.Entry, error) {
	return h.machine.Previous(key, revision)
}

func serveWatched(t testing.TB) *watched {
	w := &watched{leaderless: make(chan struct{})}
	published := wake.New()
	hub := watch.New(lateHistory{w}, 1, 0, watch.Limits{}, published.Set)
	w.machine = state.New(state.Config{FS: crashfs.NewMem(), Dir: "state", Cluster: 7, ID: 1, Publisher: hub})
	if _, _, err := w.machine.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var matcher sync.WaitGroup
	matcher.Go(func() {
		for {
			select {
			case <-published.C():
				hub.Match()
			case <-ctx.Done():
				return
			}
		}
	})
	w.face = etcd.New(etcd.Config{Node: &node{leader: 1}, ClusterID: 7, MemberID: 8, Watches: etcd.Watches{
		Hub: hub, Leaderless: func() <-chan struct{} { return w.leaderless },
	}})
	entrance := etcd.NewEntrance(nil)
	entrance.Open(w.face)
	w.grpc = grpc.NewServer(grpc.ForceServerCodecV2(overgrpc.Codec(encoding.GetCodecV2("proto"))))
	overgrpc.New(entrance).Register(w.grpc, etcd.Methods)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.Addr().String()
	go w.grpc.Serve(l)
	t.Cleanup(func() {
		w.grpc.Stop()
		w.face.Wait()
		cancel()
		matcher.Wait()
		w.machine.Close()
	})
	return w
}

// put executes a transaction that puts a value to some keys.
func (w *watched) put(value []byte, keys ...string) {
	txn := &kv.Txn{}
	for _, key := range keys {
		txn.Then = append(txn.Then, kv.TxnOp{Put: &kv.PutOp{Key: key, Value: value}})
	}
	w.machine.DoOp(state.Command{More: &state.More{Kind: state.KindTxn, Txn: txn}})
}

// open opens a stream on a connection of its own.
func (w *watched) open(ctx context.Context, t testing.TB) pb.Watch_WatchClient {
	return openOn(ctx, t, w.connect(t))
}

func (w *watched) connect(t testing.TB) *grpc.ClientConn {
	conn, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func openOn(ctx context.Context, t testing.TB, conn *grpc.ClientConn) pb.Watch_WatchClient {
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func creating(r *pb.WatchCreateRequest) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}
}

func receive(t testing.TB, stream pb.Watch_WatchClient) *pb.WatchResponse {
	t.Helper()
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGeneratedClientsWatch(t *testing.T) {
	w := serveWatched(t)
	stream := w.open(t.Context(), t)
	for _, fragment := range []bool{false, true} {
		if err := stream.Send(creating(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("z"), PrevKv: true, Fragment: fragment})); err != nil {
			t.Fatal(err)
		}
		if r := receive(t, stream); !r.Created || r.Header.Revision != 1 || r.Header.MemberId != 8 {
			t.Fatalf("%v", r)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("0123456789"), 10_000) // large parts and small ones
	w.put(value, "a", "b")
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	w.put(value, keys...)
	w.put([]byte("small"), "a")
	type told struct{ events, responses int }
	got := map[int64]told{}
	for got[0].events+got[1].events < 2*43 {
		r := receive(t, stream)
		of := got[r.WatchId]
		of.events += len(r.Events)
		of.responses++
		got[r.WatchId] = of
		for _, e := range r.Events {
			if string(e.Kv.Key) == "a" && e.Kv.ModRevision == 4 {
				if string(e.Kv.Value) != "small" || !bytes.Equal(e.PrevKv.GetValue(), value) {
					t.Errorf("%v", e)
				}
			} else if !bytes.Equal(e.Kv.Value, value) {
				t.Errorf("key %s of revision %d is wrong", e.Kv.Key, e.Kv.ModRevision)
			}
		}
	}
	if got[0].responses != 3 || got[1].responses < 4 {
		t.Errorf("got %v", got)
	}
}

func TestWatchesOfClientsThatRequireALeader(t *testing.T) {
	w := serveWatched(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "hasleader", "true")
	stream := w.open(ctx, t)
	if err := stream.Send(creating(&pb.WatchCreateRequest{Key: []byte("a")})); err != nil {
		t.Fatal(err)
	}
	receive(t, stream)
	close(w.leaderless)
	if _, err := stream.Recv(); rpctypes.Error(err) != rpctypes.ErrNoLeader {
		t.Errorf("a client takes the error as %v", err)
	}
}

// A half-closed stream without watchers is over. One whose client goes away leaves no goroutine: the
// end of the test waits for that.
func TestEndsOfWatches(t *testing.T) {
	w := serveWatched(t)
	stream := w.open(t.Context(), t)
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("ended with %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := w.open(ctx, t)
	if err := gone.Send(creating(&pb.WatchCreateRequest{Key: []byte("a")})); err != nil {
		t.Fatal(err)
	}
	receive(t, gone)
	cancel()
	w.face.Wait()
}

// BenchmarkWatch is what an event costs that goes to 1,000 watchers of one stream: processor time of
// the server and of the client, which reads bytes only.
func BenchmarkWatch(b *testing.B) {
	for _, same := range []bool{true, false} {
		for _, burst := range []int{1, 20} {
			b.Run(fmt.Sprintf("same=%v/burst=%d", same, burst), func(b *testing.B) { benchmarkWatch(b, same, burst) })
		}
	}
}

const benchWatchers = 1000

func benchmarkWatch(b *testing.B, same bool, burst int) {
	w := serveWatched(b)
	stream := w.open(b.Context(), b)
	for i := range benchWatchers {
		r := &pb.WatchCreateRequest{Key: []byte("key")}
		if !same { // each has a group of its own
			r.RangeEnd = fmt.Appendf(nil, "key%d", i)
		}
		if err := stream.Send(creating(r)); err != nil {
			b.Fatal(err)
		}
		receive(b, stream)
	}
	value := make([]byte, 100)
	messages := 0
	before := processorTime()
	for b.Loop() {
		for range burst {
			w.put(value, "key")
		}
		for events := 0; events < burst*benchWatchers; messages++ {
			events += len(receive(b, stream).Events)
		}
	}
	n := float64(b.N * burst * benchWatchers)
	b.ReportMetric(float64((processorTime()-before).Microseconds())/n, "cpu-us/event")
	b.ReportMetric(float64(messages)/n, "messages/event")
}

// processorTime is that of this process; 0 where it is not known.
func processorTime() time.Duration {
	used, _ := machine.ProcessorTime()
	return used
}

// BenchmarkStreams is what a stream with one watcher takes in memory, of the server and of the client
// in one process, on one connection.
func BenchmarkStreams(b *testing.B) {
	w := serveWatched(b)
	conn := w.connect(b)
	before := memory()
	n := 0
	for b.Loop() {
		stream := openOn(b.Context(), b, conn)
		if err := stream.Send(creating(&pb.WatchCreateRequest{Key: fmt.Append(nil, n)})); err != nil {
			b.Fatal(err)
		}
		receive(b, stream)
		n++
	}
	b.ReportMetric(float64(memory()-before)/float64(n), "bytes/stream")
}

// BenchmarkWatchers is what a watcher of a key of its own takes in memory, at the server.
func BenchmarkWatchers(b *testing.B) {
	w := serveWatched(b)
	stream := w.open(b.Context(), b)
	before := memory()
	n := 0
	for b.Loop() {
		if err := stream.Send(creating(&pb.WatchCreateRequest{Key: fmt.Appendf(nil, "registry/pods/namespace/%d", n), ProgressNotify: true})); err != nil {
			b.Fatal(err)
		}
		receive(b, stream)
		n++
	}
	b.ReportMetric(float64(memory()-before)/float64(n), "bytes/watcher")
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
